"""What a count results in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from edge.count.concentration import FieldVolume
from edge.count.correction import Correction
from edge.count.intervals import Estimate
from edge.count.size_gates import GateEffect
from edge.count.tally import Tally
from edge.count.totals import Spread
from edge.model import Manifest

LEUKOCYTES = "leukocytes"
"""All counted labels together."""


@dataclass(frozen=True)
class CountResult:
    """A finished count, and what it was made with.

    Attributes
    ----------
    reject_below : float
        Best probability below which a cell was rejected.
    bundle_sha256 : str
        Hash of the bundle's whole file.
    identifier : str
        The same for the same frames, bundle and parameters.
    parameters : mapping
        Every setting that the count depends on, as JSON can hold it.
    sample_id, operator : str
        As the operator named them; empty if not given.
    seconds : float
        Wall time, interruptions included.
    stopped : bool
        The operator or a shutdown ended the count before the last frame.
    signed : str
        Who signed the bundle, in words.
    stop_rule, ended : mapping, str
        The limits that were set, and in words which of them was reached; empty if none.
    dropped : int
        Frames that a camera gave and nobody could count in time.
    detections : int or None
        Cells found in all frames, where each is counted once; None where frames are separate.
    pixel_from : str
        Where the pixel size among the parameters is from, in words.
    concentrations : mapping
        Counted label, and `LEUKOCYTES` → cells per µL of the sample; empty if not known.
    volume : FieldVolume or None
        What they were computed with.
    no_concentration : str
        Why they are not known, in a sentence.
    size_gates : mapping
        Size gate → what the counted cells would change by if it were another; empty without counted cells.
    out : tuple of (str, tuple of str)
        Name of each frame beyond a quality limit, and the limits in words.
    session : str
        Id of the session that keeps every frame's record; empty without one.
    remarks : tuple of str
        Sentences that readers of the results have to know.
    unusable : str
        Why the numbers cannot be meant, for the headline; a remark says what to do. Reports then state no
        leukocytes, fractions, corrected numbers or concentrations. Empty if the numbers can be meant.
    other_files : bool
        The count was resumed, and there were more or fewer files than when it began.
    """

    tally: Tally
    corrected: Correction
    manifest: Manifest
    reject_below: float
    bundle_sha256: str
    identifier: str
    parameters: Mapping[str, Any]
    sources: tuple[str, ...]
    seconds: float
    finished: datetime
    stopped: bool = False
    signed: str = "not signed"
    stop_rule: Mapping[str, float] = field(default_factory=dict)
    ended: str = ""
    dropped: int = 0
    detections: int | None = None
    concentrations: Mapping[str, Estimate] = field(default_factory=dict)
    volume: FieldVolume | None = None
    no_concentration: str = ""
    size_gates: Mapping[str, GateEffect] = field(default_factory=dict)
    quality: Mapping[str, Spread] = field(default_factory=dict)
    out: tuple[tuple[str, tuple[str, ...]], ...] = ()
    session: str = ""
    sample_id: str = ""
    operator: str = ""
    pixel_from: str = ""
    remarks: tuple[str, ...] = ()
    unusable: str = ""
    other_files: bool = False
