"""Python programs in processes of their own; each answers with one JSON document.

What crashes or hangs there, such as a second runtime or a dead disk, does not take the caller with it.
"""

from __future__ import annotations

import json
import signal
import subprocess
from contextlib import suppress
from typing import Any

from edge.base import python_environment, python_words
from edge.classify import installed_runtimes


class ChildError(RuntimeError):
    """A program that gave no answer; the message is one line that says why."""


class ChildTimeoutError(ChildError):
    """A program that gave no answer in time."""


def start(module: str, *arguments: str) -> subprocess.Popen[str]:
    """Start ``python -m module``, whose output `answer` reads."""
    return subprocess.Popen(
        python_words(module, *arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=python_environment(),
    )


def answer(child: subprocess.Popen[str], timeout_s: float | None = None) -> Any:
    """Wait for a program and return the JSON that it wrote.

    Raises
    ------
    ChildError
        If it failed, with the last line of its standard error; or it crashed.
    ChildTimeoutError
        If it did not end in time; it is killed.
    """
    try:
        output, errors = child.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        child.kill()
        with suppress(subprocess.TimeoutExpired):  # a process that waits for a dead disk does not even end
            child.communicate(timeout=1)
        raise ChildTimeoutError("gave no answer in time") from error
    if child.returncode < 0:
        raise ChildError(f"crashed ({signal.Signals(-child.returncode).name})")
    if child.returncode:
        raise ChildError(errors.strip().rpartition("\n")[2].removeprefix("Error: ") or "failed")
    return json.loads(output)


def split_runtimes(requested: str | None) -> tuple[str | None, list[str]]:
    """Return the runtime for this process, and those that need `ask_runtime`; by default all installed.

    Two runtimes in one process collide (std::bad_alloc).
    """
    runtimes = [requested] if requested else installed_runtimes()
    return runtimes[0] if runtimes else None, runtimes[1:]


def ask_runtime(runtime: str, command: str, bundle: str, *options: str, sha256: str) -> Any:
    """Return what a ``leuko`` command with ``--runtime`` and ``--json`` answers in a process of its own.

    Raises
    ------
    ChildError
        If it fails, with the runtime's name in front of the reason; also if it read another bundle.
    """
    try:
        answered = answer(start("edge.cli", command, bundle, *options, "--runtime", runtime, "--json"))
        if answered["bundle"]["sha256"] != sha256:
            raise ChildError(f"{bundle}: was replaced meanwhile; repeat it")
    except ChildError as error:
        raise ChildError(f"{runtime}: {error}") from error
    return answered
