"""SIGTERM: heeded by all processes at the same moment, or at once where there is nothing to save."""

import contextlib
import signal
import threading
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from jresnet.train import mesh as meshes


class Stop:
    """Whether the run is to stop; one process asks its own signal, several ask each other.

    Several must call `requested` equally often: a signal to one of them makes all stop at the
    same call, so that none waits in a collective for one that left. (Not by jax's
    reached_preemption_sync_point: Orbax gives it the step's number at every save, and a signal
    that comes during a save is then never heeded. Seen with jax 0.10.2 and Orbax 0.12.8.)
    """

    def __init__(self) -> None:
        self.event = threading.Event()
        self.agreed = False
        self.asked: jax.Array | None = None
        self.any = None

    def requested(self) -> bool:
        """True from the call on at which to stop."""
        if jax.process_count() == 1:
            return self.event.is_set()
        # The answer to the question before: this one waits behind the step just dispatched.
        answer, self.asked = self.asked, self._ask_all()
        self.agreed = self.agreed or (answer is not None and bool(meshes.fetch(answer)))
        return self.agreed

    def _ask_all(self) -> jax.Array:
        mesh = meshes.make_mesh()
        if self.any is None:
            self.any = jax.jit(jnp.any, out_shardings=meshes.replicated(mesh))
        mine = np.full(jax.local_device_count(), self.event.is_set())
        return self.any(meshes.put_batch({"stop": mine}, mesh)["stop"])


_current: Stop | None = None


@contextlib.contextmanager
def sigterm() -> Iterator[Stop]:
    """A Stop that SIGTERM asks for while the context lasts; within another, that one.

    The main thread must enter it; any other thread gets one that is never asked.
    """
    global _current
    if _current is not None:
        yield _current
        return
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGTERM, lambda *_: stop.event.set())
    _current = stop
    try:
        yield stop
    finally:
        _current = None
        # None: set by something other than Python, such as jax's own preemption notifier.
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


@contextlib.contextmanager
def at_once(error: Exception) -> Iterator[None]:
    """SIGTERM raises `error` in the main thread while the context lasts, also one that came before
    and that a `sigterm` around it has kept.

    In any other thread, and of several processes, nothing changes: one that left would leave the
    others waiting for it.
    """
    alone = jax.process_count() == 1
    if not alone or threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(*_: object) -> None:
        if _current is not None:
            _current.event.set()
        raise error

    before = signal.signal(signal.SIGTERM, leave)
    try:
        if _current is not None and _current.event.is_set():
            raise error
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
