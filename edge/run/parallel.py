"""A function applied to a stream of items by several threads, its results in the order of the items."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

STOP_POLL_S = 0.1
"""How often a wait checks whether to stop."""

FAILING_S = 1.0
"""How long a failure waits for the items to end before it is raised."""


def in_order(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    threads: int = 1,
    in_flight: int = 2,
    stop: threading.Event | None = None,
) -> Generator[list[R], None, None]:
    """Yield the function's results in the order of the items, computed by several threads.

    Each list holds what is ready, at least one result; its results count as used when the next list is asked
    for. What the items or the function raise is raised in its place. However the iterator is left, its
    threads have ended by then, and so has the items' iterator if it is a generator.

    Parameters
    ----------
    function : callable
        Called in any of the threads.
    items : iterable
        Iterated by a thread of its own.
    in_flight : int
        Most items taken whose results were not used yet: this bounds the memory.
    stop : threading.Event
        Once it is set nothing more is yielded, even while the items make the iterator wait. Set it after a
        failure too: it ends items that take longer than `FAILING_S`.
    """
    stop = stop or threading.Event()
    line = _Line(function, items, threads, in_flight)
    failing = False
    try:
        while not stop.is_set():
            # at most half: the other half keeps the threads busy while these are used
            results = line.take(max(1, in_flight // 2))
            if results:
                yield results
                line.used(len(results))
            elif line.over():
                return
            else:
                line.wait()
    except Exception:  # any failure is raised to the caller
        failing = True
        raise
    finally:
        line.close(failing=failing)


class _Line(Generic[T, R]):
    """Futures in the order of their items, fed by a thread of its own."""

    def __init__(self, function: Callable[[T], R], items: Iterable[T], threads: int, in_flight: int) -> None:
        self._function, self._items = function, items
        self._room = threading.Semaphore(in_flight)
        self._futures: deque[Future[R]] = deque()
        self._changed = threading.Condition()
        self._closed, self._ended = threading.Event(), threading.Event()
        self._pool = ThreadPoolExecutor(threads + 1)
        self._pool.submit(self._feed)

    def take(self, most: int) -> list[R]:
        """Remove the results that are ready, before the next failure; raise a failure that comes first."""
        results: list[R] = []
        while self._ready() and len(results) < most and not (results and self._futures[0].exception()):
            results.append(self._futures.popleft().result())
        return results

    def used(self, results: int) -> None:
        """Let as many further items in."""
        self._room.release(results)

    def over(self) -> bool:
        """Whether every item's result was taken."""
        return self._ended.is_set() and not self._futures

    def wait(self) -> None:
        """Wait for a result or the end, at most `STOP_POLL_S`."""
        with self._changed:
            self._changed.wait_for(lambda: self._ready() or self.over(), STOP_POLL_S)

    def close(self, *, failing: bool) -> None:
        """End the threads."""
        self._closed.set()
        self._room.release()
        # a camera may make the feeding thread wait, and the failure that sets `stop` must be raised first
        self._pool.shutdown(wait=not failing or self._ended.wait(FAILING_S), cancel_futures=True)

    def _feed(self) -> None:
        source: Iterator[T] = iter(())
        try:
            source = iter(self._items)
            while self._room.acquire() and not self._closed.is_set():
                try:
                    item = next(source)
                except StopIteration:
                    break
                self._enqueue(self._pool.submit(self._function, item))
        except Exception as error:
            failed: Future[R] = Future()
            failed.set_exception(error)
            self._enqueue(failed)
        finally:
            if isinstance(source, Generator):  # closed by the thread that runs it
                source.close()
            self._ended.set()
            self._notify()

    def _enqueue(self, future: Future[R]) -> None:
        self._futures.append(future)
        future.add_done_callback(self._notify)

    def _notify(self, _: object = None) -> None:
        with self._changed:
            self._changed.notify_all()

    def _ready(self) -> bool:
        return bool(self._futures) and self._futures[0].done()
