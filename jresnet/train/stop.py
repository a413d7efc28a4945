"""SIGTERM, and that all processes heed it at the same moment."""

import contextlib
import signal
import threading
from collections.abc import Iterator

import jax
from jax.experimental import multihost_utils


class Stop:
    """Whether the run is to stop; one process asks its own signal, several ask each other.

    Several must call `requested` equally often: a signal to one of them makes all stop at the
    same call, so that none waits in a collective for one that left.
    """

    def __init__(self) -> None:
        self.event = threading.Event()
        self.calls = 0

    def requested(self) -> bool:
        """True from the call on at which to stop."""
        self.calls += 1
        if jax.process_count() > 1 and multihost_utils.reached_preemption_sync_point(self.calls):
            self.event.set()
        return self.event.is_set()


_current: Stop | None = None


@contextlib.contextmanager
def sigterm() -> Iterator[Stop]:
    """A Stop that SIGTERM asks for while the context lasts; within another, that one.

    Of a single process the main thread must enter it, any other thread gets one that is never
    asked. With several processes jax's own handler listens, since its initialisation.
    """
    global _current
    if _current is not None:
        yield _current
        return
    stop = Stop()
    several = jax.process_count() > 1
    if not several and threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = None if several else signal.signal(signal.SIGTERM, lambda *_: stop.event.set())
    _current = stop
    try:
        yield stop
    finally:
        _current = None
        if not several:
            signal.signal(signal.SIGTERM, before)
