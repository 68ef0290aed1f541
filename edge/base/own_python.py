"""Other programs of this Python, started so that files of the current folder are no code of theirs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_HOME = str(Path(__file__).parents[2])


def python_words(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module; ``-m`` alone would look into the current folder first."""
    return [sys.executable, "-P", "-m", module, *arguments]


def python_environment(*, own_modules: bool = True) -> dict[str, str]:
    """Return the environment of such a program, and of those that it starts in turn.

    Parameters
    ----------
    own_modules : bool
        It finds the modules of this leuko, wherever that was started.
    """
    given = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))  # empty is the current folder
    paths = os.pathsep.join([*([_HOME] if own_modules else []), *given])
    return {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONPATH": paths}
