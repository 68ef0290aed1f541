"""The bundle: one checked file that holds a network and everything known about it."""

from edge.model.bundle import (
    Bundle,
    BundleError,
    load_bundle,
    locate_bundle,
    refusal_reason,
    shipped_bundles,
    split_bundle,
    write_bundle,
)
from edge.model.device_settings import DeviceSettings, read_device_settings
from edge.model.manifest import (
    OCTAVES,
    OUT_OF_DISTRIBUTION,
    SCHEMA,
    STATISTICS,
    TEST_TIME_VIEWS,
    UPGRADED_SCHEMA,
    Manifest,
    OutOfDistributionModel,
    Parity,
    Quantisation,
    Rejection,
    RepresentativeSet,
    TrainingData,
)
from edge.model.signature import Signature, SignatureError, signed_statement

__all__ = [
    "OCTAVES",
    "OUT_OF_DISTRIBUTION",
    "SCHEMA",
    "STATISTICS",
    "TEST_TIME_VIEWS",
    "UPGRADED_SCHEMA",
    "Bundle",
    "BundleError",
    "DeviceSettings",
    "Manifest",
    "OutOfDistributionModel",
    "Parity",
    "Quantisation",
    "Rejection",
    "RepresentativeSet",
    "Signature",
    "SignatureError",
    "TrainingData",
    "load_bundle",
    "locate_bundle",
    "read_device_settings",
    "refusal_reason",
    "shipped_bundles",
    "signed_statement",
    "split_bundle",
    "write_bundle",
]
