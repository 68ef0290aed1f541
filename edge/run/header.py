"""A session's header from a count's configuration, and the configuration from a header."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

from edge import __version__
from edge.base import SchemaError, read
from edge.run.config import CountConfig
from edge.run.instrument import Instrument
from edge.session import Header, SessionError

HEADER_FIELDS = ("sources", "sample_id", "operator", "stop_rule")
"""Fields of the configuration that the header states itself; the others are its parameters."""


def header_of(config: CountConfig, instrument: Instrument) -> Header:
    """Return the header of a session that is about to begin."""
    bundle, manifest = instrument.bundle, instrument.bundle.manifest
    parameters = {name: value for name, value in asdict(config).items() if name not in HEADER_FIELDS}
    return Header(
        sample_id=config.sample_id,
        operator=config.operator,
        bundle=f"{manifest.name} {manifest.version}",
        bundle_sha256=bundle.sha256,
        labels=manifest.labels,
        counted=manifest.counted,
        calibration_sha256=instrument.calibration_sha256,
        parameters=parameters,
        stop_rule=config.stop_rule.stated(),
        sources=config.sources,
        software=f"leuko-edge {__version__}",
        started=datetime.now(UTC),
    )


def config_of(session: str, header: Header) -> CountConfig:
    """Return the configuration that a session was begun with.

    Raises
    ------
    SessionError
        If the header does not hold it.
    """
    try:
        return read(
            CountConfig, {**header.parameters, **{name: getattr(header, name) for name in HEADER_FIELDS}}
        )
    except SchemaError as error:
        raise SessionError(
            f"{session}: {header.software} began it, and this leuko cannot resume it ({error});"
            " what it counted stays in it"
        ) from error
