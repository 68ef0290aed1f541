"""One count from its configuration to its results, and what the device needs around it."""

from edge.run.bench import INVOKE, Timing, describe_machine, ratios, time_bundle, warnings
from edge.run.cameras import list_cameras, open_camera
from edge.run.config import CameraConfig, CountConfig, Instrument
from edge.run.count_run import end_unfinished, run_count
from edge.run.doctor import examine_device
from edge.run.pipeline import count_frames
from edge.run.resume import resumed
from edge.run.systemd import Log, Notifier

__all__ = [
    "INVOKE",
    "CameraConfig",
    "CountConfig",
    "Instrument",
    "Log",
    "Notifier",
    "Timing",
    "count_frames",
    "describe_machine",
    "end_unfinished",
    "examine_device",
    "list_cameras",
    "open_camera",
    "ratios",
    "resumed",
    "run_count",
    "time_bundle",
    "warnings",
]
