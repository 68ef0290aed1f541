"""A session: what was counted, frame by frame, in one SQLite file that a power cut leaves whole."""

from edge.session.errors import SessionError
from edge.session.files import create, open_session, read_session
from edge.session.listing import Listed, newest_first, unfinished
from edge.session.names import clock_note, resolve, sessions_folder
from edge.session.record import CellRecord, Finish, FrameRecord, Header, Totals, frame_record
from edge.session.store import Session, StoredSession

__all__ = [
    "CellRecord",
    "Finish",
    "FrameRecord",
    "Header",
    "Listed",
    "Session",
    "SessionError",
    "StoredSession",
    "Totals",
    "clock_note",
    "create",
    "frame_record",
    "newest_first",
    "open_session",
    "read_session",
    "resolve",
    "sessions_folder",
    "unfinished",
]
