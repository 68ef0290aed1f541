"""``leuko count --resume``: resumes a camera's unfinished session, or says why a new one begins."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, Protocol

import click
from click.core import ParameterSource

from edge.calibration import read_calibration
from edge.capture import Camera, CameraError, camera_place
from edge.cli.options import leaves, parameter_name
from edge.cli.screen import Screen
from edge.model import load_bundle
from edge.run import Count, CountConfig, Result, Sink, end_unfinished, resume
from edge.session import DamagedSessionError, SessionError, set_aside

NOT_OPTIONS = ("sources", "folder", "files", "report", "pixel_from")
"""Keys of the configuration that follow from the arguments and the calibration."""

_FORESEEN = (SessionError, ValueError, OSError)
"""Of a session that cannot be opened to be resumed."""


@dataclass(frozen=True)
class Refusal:
    """Why a session is not resumed: `certain` if it says so itself, otherwise because its count failed."""

    path: Path
    why: str
    certain: bool


class FirstFrame(Sink):
    """Calls a function once, after a count's first frame; `passed` says whether it has come."""

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        self.passed, self._then = False, then

    def now(self) -> None:
        """Call the function, unless it was called."""
        if not self.passed:
            self.passed = True
            self._then()

    def add(self, result: Result, prepared: Any) -> None:
        """Take a frame."""
        self.now()


class OnScreen(Protocol):
    """Runs a count, see `edge.cli.screen.follow`."""

    def __call__(self, count: Count, *, sinks: list[FirstFrame]) -> None:
        """Run it."""


def count_on(
    path: Path, on_screen: OnScreen, open_camera: Callable[[], Camera], screen: Screen, out: Path | None
) -> Refusal | None:
    """Resume a session and count to the end; return why that is not possible, None if it was.

    Whatever fails before a new frame is counted may be the session's fault: a service would fail in the same
    way at every start. It is not where the camera does not open as the command line has it; that is raised.
    One that opens may just have come, so that the session is tried once more.
    """
    opens = False
    while True:
        try:
            resumed = _resume_as_asked(path)
        except Exception as error:
            return Refusal(path, _line(error), certain=isinstance(error, _FORESEEN))
        if out is not None and not opens:
            screen.say("no report", f"no report in {out}: the frames before the interruption were not kept")
        first = FirstFrame()
        try:
            on_screen(resumed, sinks=[first])
        except (click.exceptions.Exit, click.ClickException):
            raise
        except Exception as error:
            if first.passed:
                raise
            if opens or not isinstance(error, CameraError):
                return Refusal(path, _line(error), certain=isinstance(error, DamagedSessionError))
            open_camera().close()
            opens = True
        else:
            return None


def given_options() -> dict[str, str]:
    """Return the options on the command line: parameter name → option."""
    context = click.get_current_context()
    return {
        parameter.name or "": parameter.opts[0]
        for parameter in context.command.params
        if context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
    }


def _resume_as_asked(path: Path) -> Count:
    """Resume a session, see `edge.run.resume`; one that began with other options raises a SessionError."""
    with ExitStack() as stack:
        resumed = resume(path, unattended=True)
        stack.callback(resumed.session.close)
        _check_options(resumed)
        stack.pop_all()
        return resumed


def _check_options(resumed: Count) -> None:
    """Refuse an option that differs from the session's; an option that is not given is taken from it.

    A bundle or a calibration is the same if its content is, by whatever path it is named.
    """
    given, values = given_options(), click.get_current_context().params
    for place, key in leaves(CountConfig):
        name = parameter_name(key)
        if name not in given or name in NOT_OPTIONS:
            continue
        now, before = values[name], attrgetter(".".join(place))(resumed.config)
        if name == "bundle":
            same = load_bundle(now).sha256 == resumed.instrument.bundle.sha256
        elif name == "calibration":
            same = read_calibration(Path(now)).sha256 == resumed.instrument.calibration_sha256
        elif place == ("camera", "name"):
            same = camera_place(now, str(Path.cwd())) == camera_place(before, resumed.config.folder)
        else:
            same = now == before
        if not same:
            began = f"with {before}" if before not in (None, "", False) else "without"
            raise SessionError(f"{given[name]} is {now}, and the session began {began}")


def end_refused(refusal: Refusal | None, screen: Screen) -> None:
    """End a session that is not resumed, or set it aside if it is damaged, and say so."""
    if refusal is None:
        return
    path, why = refusal.path, refusal.why
    try:
        words = f"session {path.stem} ends with what it counted, and a new one begins: {why}"
        try:
            end_unfinished(path, f"not resumed: {why}")
        except Exception as error:
            if isinstance(error, SessionError) and not isinstance(error, DamagedSessionError):
                raise
            aside = set_aside(path)
            words = (
                f"session {path.stem} is not resumed, and a new one begins: {_line(error)}; now {aside.name}"
            )
    except SessionError as error:
        words = f"session {path.stem} stays as it is, and a new one begins: {error}"
    screen.say("not resumed", words, "warning", id=path.stem)


def _line(error: Exception) -> str:
    """Return what failed in one line; an error that nobody foresaw has its kind."""
    said = " ".join(str(error).split())
    return said if isinstance(error, (*_FORESEEN, CameraError)) else f"{type(error).__name__}: {said}"
