"""Results for people and programs: table, page, CSV, JSON, annotated frames, model card."""

from edge.report.files import result_summary
from edge.report.model_card import model_card, model_facts, validation_accuracy
from edge.report.session_export import EXPORT_FORMATS, described, export_session
from edge.report.shell import confusion_table, data_uri, page_shell, section
from edge.report.table import print_result
from edge.report.writer import ReportWriter

__all__ = [
    "EXPORT_FORMATS",
    "ReportWriter",
    "confusion_table",
    "data_uri",
    "described",
    "export_session",
    "model_card",
    "model_facts",
    "page_shell",
    "print_result",
    "result_summary",
    "section",
    "validation_accuracy",
]
