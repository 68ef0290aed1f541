"""A file that somebody else keeps replacing while it is read."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def swapped(path: Path, *contents: bytes) -> Iterator[None]:
    """Replace a file by one content after the other, as fast as can be, until the block ends."""
    done = threading.Event()

    def swap() -> None:
        for content in itertools.cycle(contents):
            other = path.with_name("other")
            other.write_bytes(content)
            other.replace(path)
            if done.wait(0.0003):
                return

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
