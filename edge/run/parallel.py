"""A function applied to a stream of items by several threads, its results in the order of the items."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from queue import Empty, Queue
from typing import Any, TypeVar

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
    places: Callable[[T], int] = lambda item: 1,
    stop: threading.Event | None = None,
) -> Generator[list[R], None, None]:
    """Yield the function's results in the order of the items, computed by several threads.

    Each list holds what is ready, at least one result; its results count as used when the next list is asked
    for. What the items or the function raise is raised in its place. However the iterator is left, its
    threads have ended by then, and so has the items' iterator if it is a generator.

    Parameters
    ----------
    items : iterable
        Iterated by a thread of its own; the function is called in any of the others.
    in_flight : int
        Most items taken whose results were not used yet: this bounds the memory.
    places : callable
        How many of these an item counts for, as a large one does; all of them at the most.
    stop : threading.Event
        Once it is set nothing more is yielded, even while the items make the iterator wait. Set it after a
        failure too: it ends items that take longer than `FAILING_S`.
    """
    stop, closed, failing = stop or threading.Event(), threading.Event(), False
    room = threading.Semaphore(in_flight)
    line: Queue[Future[Any]] = Queue()
    taken: deque[int] = deque()
    pool = ThreadPoolExecutor(threads + 1)

    def submit(item: T) -> None:
        taken.append(max(1, min(in_flight, places(item))))
        for _ in range(taken[-1] - 1):
            room.acquire()
        line.put(pool.submit(function, item))

    feeding = pool.submit(_feed, items, room, closed, submit)
    feeding.add_done_callback(line.put)  # behind the last item
    try:
        for future in _finished(line, stop):
            results = [future.result()]
            if future is feeding:
                return
            # at most half: the other half keeps the threads busy while these are used
            while len(results) < in_flight // 2 and line.queue and _succeeded(line.queue[0], feeding):
                results.append(line.get().result())
            yield results
            used = len(results)
            del future, results  # as large as frames, and the next ones may be long in coming
            room.release(sum(taken.popleft() for _ in range(used)))
    except Exception:  # any failure is raised to the caller
        failing = True
        raise
    finally:
        closed.set()
        room.release(in_flight + 1)
        # a camera may make the feeding thread wait, and the failure that sets `stop` must be raised first
        ended = not failing or bool(wait([feeding], FAILING_S).done)
        pool.shutdown(wait=ended, cancel_futures=True)


def _feed(
    items: Iterable[T], room: threading.Semaphore, closed: threading.Event, submit: Callable[[T], None]
) -> None:
    """Submit the items as room allows, and close a generator in the thread that ran it."""
    source: Iterator[T] = iter(())
    try:
        source = iter(items)
        while room.acquire() and not closed.is_set():
            submit(next(source))
    except StopIteration:
        return
    finally:
        if isinstance(source, Generator):
            source.close()


def _finished(line: Queue[Future[Any]], stop: threading.Event) -> Iterator[Future[Any]]:
    """Yield each future in its turn once it is done, until `stop` is set."""
    while not stop.is_set():
        try:
            future = line.get(timeout=STOP_POLL_S)
        except Empty:
            continue
        while not stop.is_set() and not wait([future], STOP_POLL_S).done:
            pass
        if not stop.is_set():
            yield future
        del future


def _succeeded(future: Future[Any], feeding: Future[Any]) -> bool:
    return future is not feeding and future.done() and future.exception() is None
