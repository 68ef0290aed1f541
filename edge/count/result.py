"""What a count results in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from edge.count.correction import Correction
from edge.count.intervals import Estimate
from edge.count.tally import Tally
from edge.count.totals import Spread
from edge.model import Manifest

LEUKOCYTES = "leukocytes"
"""All counted labels together."""


@dataclass(frozen=True)
class CountResult:
    """A finished count and what it was made with.

    Attributes
    ----------
    tally : what was counted
    corrected : what that says of the true cells
    manifest, bundle_sha256 : the bundle, and the hash of its whole file
    identifier : the same for the same frames, bundle and parameters
    parameters : every setting that the count depends on, as JSON can hold it
    sources : what the operator named
    seconds : wall time
    finished : when
    stopped : the operator or a shutdown ended it before the last frame
    signed : who signed the bundle, in words
    plan : what was to end the count, see `edge.count.stop_rule.Plan.stated`
    ended : what of that did, in words; empty where nothing did
    dropped : frames that a camera gave and nobody could count in time
    detections : cells found in all frames, where each is counted once; None where frames are separate
    concentrations : counted label, and `LEUKOCYTES`, → cells in a µL of the sample; empty if not known
    no_concentration : why it is not known, in a sentence
    quality : measure → how it ran over the frames
    out : name of each frame beyond a limit of quality, and the limits, in words
    session : id of the session that keeps every frame's record; empty without one
    remarks : what whoever reads the results has to know, a sentence each
    other_files : it was gone on with, and there were more or fewer files than when it began
    """

    tally: Tally
    corrected: Correction
    manifest: Manifest
    bundle_sha256: str
    identifier: str
    parameters: Mapping[str, Any]
    sources: tuple[str, ...]
    seconds: float
    finished: datetime
    stopped: bool = False
    signed: str = "not signed"
    plan: Mapping[str, float] = field(default_factory=dict)
    ended: str = ""
    dropped: int = 0
    detections: int | None = None
    concentrations: Mapping[str, Estimate] = field(default_factory=dict)
    no_concentration: str = ""
    quality: Mapping[str, Spread] = field(default_factory=dict)
    out: tuple[tuple[str, tuple[str, ...]], ...] = ()
    session: str = ""
    remarks: tuple[str, ...] = ()
    other_files: bool = False
