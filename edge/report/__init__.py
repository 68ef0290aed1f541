"""Results for people and programs: table, page, CSV, JSON, annotated frames, model card, session exports."""

from edge.report.files import result_summary
from edge.report.model_card import model_card, model_facts, validation_accuracy
from edge.report.session_export import EXPORT_FORMATS, TABLE_FORMATS, described, export_session
from edge.report.shell import (
    Picture,
    confusion_table,
    encode_jpeg,
    gallery,
    page_shell,
    paragraph,
    section,
    table,
)
from edge.report.terminal import print_result
from edge.report.words import frames_in_words
from edge.report.writer import ReportWriter

__all__ = [
    "EXPORT_FORMATS",
    "TABLE_FORMATS",
    "Picture",
    "ReportWriter",
    "confusion_table",
    "described",
    "encode_jpeg",
    "export_session",
    "frames_in_words",
    "gallery",
    "model_card",
    "model_facts",
    "page_shell",
    "paragraph",
    "print_result",
    "result_summary",
    "section",
    "table",
    "validation_accuracy",
]
