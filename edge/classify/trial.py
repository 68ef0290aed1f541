"""Whether an interpreter survives a model, found out in a process that it may take down."""

from __future__ import annotations

import os
import resource
import signal
import time
import warnings
from collections.abc import Callable
from contextlib import suppress

LIMIT_S = 10.0
"""For a load and three crops, which take 2 s on the slowest board."""

_POLL_S = 0.005


def crash_reason(attempt: Callable[[], object]) -> str:
    """Return why an attempt did not end by itself, as the name of a signal or a time; else nothing.

    It runs in a copy of this process, where it may raise: to learn what, call it here.
    """
    with warnings.catch_warnings():
        # Python warns of forks beside threads: the child calls the attempt only, and ends
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        _attempt_and_end(attempt)
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else ""
        time.sleep(_POLL_S)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return f"no answer in {LIMIT_S:g} s"


def _attempt_and_end(attempt: Callable[[], object]) -> None:
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL):
            signal.signal(number, signal.SIG_DFL)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        with suppress(BaseException):  # the caller's own attempt raises it again
            attempt()
    finally:
        os._exit(0)
