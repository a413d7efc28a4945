"""SIGTERM and Ctrl-C: heeded by all processes at the same moment, or at once where there is nothing
to save."""

import contextlib
import signal
import threading
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from jresnet.runtime import mesh as meshes
from jresnet.runtime import signals

SAVING = "Ctrl-C: the run saves and ends; press it again to end at once"
AT_ONCE = "stopped at once by a second Ctrl-C; the same command goes on from what was saved before"


class Stop:
    """Whether the run is to stop; one process asks its own signal, several ask each other.

    Several must call `requested` equally often: a signal to one of them makes all stop at the
    same call, so that none waits in a collective for one that left. (Not by jax's
    reached_preemption_sync_point: Orbax gives it the step's number at every save, and a signal
    that comes during a save is then never heeded. Seen with jax 0.10.2 and Orbax 0.12.8.)
    """

    def __init__(self) -> None:
        self.event = threading.Event()
        self.by = " or ".join(signals.NAMES.values())  # where it came to another process
        self.pressed = False
        self.agreed = False
        self.asked: jax.Array | None = None
        self.any = None

    def ask(self, number: int, frame: object = None) -> None:
        """Handle a signal: the first asks the run to stop, a second Ctrl-C ends it."""
        if number == signal.SIGINT:
            self.press()
            signals.say(SAVING, 2)
        if not self.event.is_set():
            self.by = signals.NAMES[signal.Signals(number)]
        self.event.set()

    def press(self) -> None:
        """Count Ctrl-C: the second ends the process."""
        if self.pressed:
            signals.quit_at_once(AT_ONCE)
        self.pressed = True

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
def stoppable() -> Iterator[Stop]:
    """A Stop that SIGTERM and Ctrl-C ask for while the context lasts; within another, that one.

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
    before = {number: signal.signal(number, stop.ask) for number in signals.heeded()}
    _current = stop
    try:
        yield stop
    finally:
        _current = None
        signals.restore(before)


@contextlib.contextmanager
def at_once(error: Exception) -> Iterator[None]:
    """SIGTERM and Ctrl-C raise `error` in the main thread while the context lasts, also one that came
    before and that a `stoppable` around it has kept.

    In any other thread, and of several processes, nothing changes: one that left would leave the
    others waiting for it.
    """
    alone = jax.process_count() == 1
    if not alone or threading.current_thread() is not threading.main_thread():
        yield
        return
    stop = _current or Stop()

    def leave(number: int, frame: object) -> None:
        if number == signal.SIGINT:
            stop.press()
        stop.event.set()
        raise error

    before = {number: signal.signal(number, leave) for number in signals.heeded()}
    try:
        if stop.event.is_set():
            raise error
        yield
    finally:
        signals.restore(before)
