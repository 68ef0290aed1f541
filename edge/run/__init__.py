"""One count from its configuration to its results, and what the device needs around it."""

from edge.run.bench import INVOKE, Timing, describe_machine, ratios, time_bundle, warnings
from edge.run.cameras import list_cameras, open_camera
from edge.run.child import ChildError, ask_runtime, split_runtimes
from edge.run.config import Analysis, CameraConfig, CountConfig, Gates
from edge.run.count_run import end_unfinished, run_count
from edge.run.doctor import examine_device
from edge.run.header import header_of
from edge.run.instrument import Instrument
from edge.run.pipeline import FrameOptions, count_frames
from edge.run.resume import Resumed, resume
from edge.run.sinks import NewSession, NoSession, ReportSink, Sink
from edge.run.systemd import Log, Notifier

__all__ = [
    "INVOKE",
    "Analysis",
    "CameraConfig",
    "ChildError",
    "CountConfig",
    "FrameOptions",
    "Gates",
    "Instrument",
    "Log",
    "NewSession",
    "NoSession",
    "Notifier",
    "ReportSink",
    "Resumed",
    "Sink",
    "Timing",
    "ask_runtime",
    "count_frames",
    "describe_machine",
    "end_unfinished",
    "examine_device",
    "header_of",
    "list_cameras",
    "open_camera",
    "ratios",
    "resume",
    "run_count",
    "split_runtimes",
    "time_bundle",
    "warnings",
]
