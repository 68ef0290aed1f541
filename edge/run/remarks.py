"""What readers of the results have to know, in sentences: of the settings, and of what was counted."""

from __future__ import annotations

from edge.calibration import Calibration
from edge.capture import channels_by_name, contradiction, list_files, passed_over
from edge.count import Totals
from edge.model import Manifest
from edge.run.config import CountConfig
from edge.run.field_remarks import field_remarks
from edge.run.instrument import Instrument, kind_of
from edge.run.tracking_remarks import tracking_remark
from edge.run.usable import loss_remarks

MAX_PIXEL_FACTOR = 1.4
"""Ratio of a frame's pixel to the bundle's, or its inverse, from which a remark is made: objectives differ by
more (40× and 60× at the least), calibrations agree to a few percent."""

LARGE_CELL_UM = 20.0
"""Diameter of a large leukocyte: a frame with a shorter side shows parts of cells."""


def opening_remarks(config: CountConfig, instrument: Instrument) -> tuple[str, ...]:
    """Return the remarks that hold before the first frame."""
    remarks = (
        pixel_remark(config.analysis.pixel_um, instrument.bundle.manifest),
        _other_camera(config, instrument.calibration),
        _empty_calibration(config, instrument.calibration),
        _channels(config),
        _passed_over(config),
    )
    return tuple(filter(None, remarks))


def closing_remarks(config: CountConfig, totals: Totals) -> tuple[str, ...]:
    """Return the remarks on what was counted, the same for a count and for one that is resumed."""
    chosen = (_chosen(note, frames, totals) for note, frames in totals.notes.items())
    pixel = contradiction(totals.pixels, config.analysis.pixel_um, config.pixel_from)
    sizes = (_sizes(totals), _tiny(config, totals))
    lost, tracked = loss_remarks(config, totals), tracking_remark(config, totals)
    return tuple(filter(None, (pixel, *sizes, *chosen, *field_remarks(config, totals), tracked, *lost)))


def pixel_remark(pixel_um: float, bundle: Manifest) -> str:
    """Return a remark on frames of another magnification than the bundle's; empty if they have the same."""
    factor = pixel_um / bundle.pixel_um
    if 1 / MAX_PIXEL_FACTOR <= factor <= MAX_PIXEL_FACTOR:
        return ""
    return (
        f"a pixel of {pixel_um:.4g} µm is {factor:.2g} times that of bundle {bundle.name} "
        f"({bundle.pixel_um:.4g} µm): check the pixel size, and whether the bundle is for this objective"
    )


def _other_camera(config: CountConfig, calibration: Calibration) -> str:
    """Return a remark on a calibration that another kind of camera was calibrated with."""
    kind = kind_of(config.camera.name) if config.camera else ""
    others = [camera for camera in calibration.cameras if kind_of(camera) != kind]
    if kind in ("", "watch", "video") or not others:  # files may be any camera's
        return ""
    return (
        f"calibration {config.calibration} was made with camera {' and '.join(others)}, and this count's "
        f"is {kind}: calibrate it (leuko calibrate), or name its own --calibration"
    )


def _empty_calibration(config: CountConfig, calibration: Calibration) -> str:
    """Return a remark on a calibration file that states nothing; empty for others."""
    if config.calibration is None or calibration != Calibration():
        return ""
    return (
        f"calibration {config.calibration} has no effect: nothing is calibrated in it (leuko calibrate pixel,"
        " flatfield and volume)"
    )


def _channels(config: CountConfig) -> str:
    """Return a remark on files that seem to be channels of one field; empty if none do."""
    files = config.files or list_files(_folders(config), config.root)
    channels = channels_by_name(files)
    if not channels:
        return ""
    more = " …" if len(channels) > 4 else ""
    return (
        f"files differ in {', '.join(channels[:4])}{more} alone, and each was counted as a field: if these "
        "are channels of one field, name the files of the bright-field one alone"
    )


def _folders(config: CountConfig) -> tuple[str, ...]:
    """Return the files and folders that are counted, or watched."""
    if config.camera is None:
        return config.sources
    return tuple(name.removeprefix("watch:") for name in config.sources if name.startswith("watch:"))


def _passed_over(config: CountConfig) -> str:
    """Return a remark on the files that folders hold and nobody reads; empty without any."""
    kinds = passed_over(_folders(config), config.root)
    if not kinds:
        return ""
    listed = ", ".join(f"{n} {suffix or 'without a suffix'}" for suffix, n in sorted(kinds.items()))
    files, were = ("files", "were") if kinds.total() > 1 else ("file", "was")
    return (
        f"{kinds.total()} {files} of the folder {were} passed over ({listed}): save images as PNG or TIFF,"
        " or name a file to have it read whatever its suffix"
    )


def _sizes(totals: Totals) -> str:
    """Return a remark on frames of another size than most; empty if all have the same."""
    (most, n), *others = totals.sizes.most_common() or [((0, 0), 0)]
    if not others:
        return ""
    listed = ", ".join(f"{frames:,} of {width} x {height}" for (width, height), frames in others[:3])
    more = f" and {len(others) - 3} more sizes" if len(others) > 3 else ""
    return (
        f"frames differ in size: {n:,} of {most[0]} x {most[1]} px, {listed}{more}; all were counted with "
        "one pixel size: count those of another magnification or binning by themselves"
    )


def _tiny(config: CountConfig, totals: Totals) -> str:
    """Return a remark on frames in which a cell has no room; empty if all have some."""
    pixel_um = config.analysis.pixel_um
    small = [size for size in totals.sizes if min(size) * pixel_um < LARGE_CELL_UM]
    if not small:
        return ""
    width, height = min(small, key=min)
    frames = sum(totals.sizes[size] for size in small)
    return (
        f"{frames:,} of {totals.sizes.total():,} frames are too small for a cell of {LARGE_CELL_UM:g} µm: "
        f"{width} x {height} px are {width * pixel_um:.3g} x {height * pixel_um:.3g} µm; check the pixel "
        "size (--pixel-um), and that these are frames and no crops"
    )


def _chosen(note: str, frames: int, totals: Totals) -> str:
    """Return a remark on what the reader chose, with the number of frames unless it holds for all."""
    return note if frames == len(totals.hashes) else f"{note} ({frames} of {len(totals.hashes)} frames)"
