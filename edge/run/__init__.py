"""One count from its configuration to its results, and what the device needs around it."""

from edge.run.bench import INVOKE, Timing, describe_machine, ratios, time_bundle, warnings
from edge.run.cameras import list_cameras, open_camera, tuning_of
from edge.run.child import ChildError, ask_runtime, split_runtimes
from edge.run.config import Analysis, CameraConfig, CountConfig
from edge.run.count_run import end_unfinished, run_count
from edge.run.doctor import examine_device
from edge.run.instrument import Instrument, camera_calibration
from edge.run.memory import count_bytes
from edge.run.objectives import Objective, lower_objectives
from edge.run.pipeline import count_frames
from edge.run.pixel_size import FROM_BUNDLE, choose_pixel
from edge.run.remarks import pixel_remark
from edge.run.results import tally_of
from edge.run.same_files import file_names
from edge.run.sessions import Count, begin, resume
from edge.run.silicon import answers, silicon_page
from edge.run.sinks import ReportSink, Result, Sink
from edge.run.systemd import Log, Notifier
from edge.run.usable import why_unusable

__all__ = [
    "FROM_BUNDLE",
    "INVOKE",
    "Analysis",
    "CameraConfig",
    "ChildError",
    "Count",
    "CountConfig",
    "Instrument",
    "Log",
    "Notifier",
    "Objective",
    "ReportSink",
    "Result",
    "Sink",
    "Timing",
    "answers",
    "ask_runtime",
    "begin",
    "camera_calibration",
    "choose_pixel",
    "count_bytes",
    "count_frames",
    "describe_machine",
    "end_unfinished",
    "examine_device",
    "file_names",
    "list_cameras",
    "lower_objectives",
    "open_camera",
    "pixel_remark",
    "ratios",
    "resume",
    "run_count",
    "silicon_page",
    "split_runtimes",
    "tally_of",
    "time_bundle",
    "tuning_of",
    "warnings",
    "why_unusable",
]
