"""What every room shares: frames, cells, names, files, paths and the board."""

from edge.base import board
from edge.base.atomic import (
    ANOTHER_NAME,
    REPLACE,
    partial_path,
    replaced_atomically,
    replaced_path,
    write_atomically,
)
from edge.base.board import cores
from edge.base.cell import Cell
from edge.base.constants import PIXELS_UM, RESEARCH_USE
from edge.base.count_options import LiveOptions, Policy, SessionConfig, StopLimits
from edge.base.csv_text import csv_writer, unquoted
from edge.base.frame import FailedFrame, FailureKind, Frame, StatedPixel
from edge.base.input_file import open_input, read_input
from edge.base.labels import alike_labels, label_problem, labels_problem
from edge.base.names import IMAGE_SUFFIXES, frame_name, is_frame_file, natural_order
from edge.base.own_python import python_environment, python_words
from edge.base.paths import home
from edge.base.quantity import quantity
from edge.base.schema import ANY_CHARACTER, Key, SchemaError, collect, declare, keys, read, redeclare, shown
from edge.base.sole_writer import sole_writer
from edge.base.toml_remedy import toml_remedy
from edge.base.toml_text import parse_toml
from edge.base.visible import visible

__all__ = [
    "ANOTHER_NAME",
    "ANY_CHARACTER",
    "IMAGE_SUFFIXES",
    "PIXELS_UM",
    "REPLACE",
    "RESEARCH_USE",
    "Cell",
    "FailedFrame",
    "FailureKind",
    "Frame",
    "Key",
    "LiveOptions",
    "Policy",
    "SchemaError",
    "SessionConfig",
    "StatedPixel",
    "StopLimits",
    "alike_labels",
    "board",
    "collect",
    "cores",
    "csv_writer",
    "declare",
    "frame_name",
    "home",
    "is_frame_file",
    "keys",
    "label_problem",
    "labels_problem",
    "natural_order",
    "open_input",
    "parse_toml",
    "partial_path",
    "python_environment",
    "python_words",
    "quantity",
    "read",
    "read_input",
    "redeclare",
    "replaced_atomically",
    "replaced_path",
    "shown",
    "sole_writer",
    "toml_remedy",
    "unquoted",
    "visible",
    "write_atomically",
]
