"""The durable record of a count: one SQLite file that survives a power cut."""

from edge.session.content import MOST_MEASURED
from edge.session.files import DamagedSessionError, SessionError, set_aside
from edge.session.names import clock_note, find_session, list_sessions, unfinished_sessions
from edge.session.record import FrameRecord, Header, SessionTotals, frame_record
from edge.session.store import StoredSession, read_session
from edge.session.writer import Session, create_session, open_session

__all__ = [
    "MOST_MEASURED",
    "DamagedSessionError",
    "FrameRecord",
    "Header",
    "Session",
    "SessionError",
    "SessionTotals",
    "StoredSession",
    "clock_note",
    "create_session",
    "find_session",
    "frame_record",
    "list_sessions",
    "open_session",
    "read_session",
    "set_aside",
    "unfinished_sessions",
]
