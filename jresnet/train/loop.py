"""The loop: the only stateful part of training."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import optax
from jax.sharding import Mesh

from jresnet.errors import UsageError
from jresnet.runtime import mesh as meshes
from jresnet.runtime.callbacks import usage_errors
from jresnet.runtime.profile import Profile
from jresnet.runtime.stop import Stop, stoppable
from jresnet.runtime.watchdog import COMPILING, Watchdog
from jresnet.tasks.base import Task, Variables
from jresnet.train.board import Board
from jresnet.train.checkpoint import Checkpoints
from jresnet.train.data import Data, called, changes_for_devices, for_devices
from jresnet.train.feed import Feed
from jresnet.train.gallery import Gallery
from jresnet.train.judging import Judging
from jresnet.train.log import OpensSink, RunLog, unusable, write_broken
from jresnet.train.pending import Pending
from jresnet.train.pictures import input_pictures
from jresnet.train.setup import Evaluate, Results, compiled, evaluator, initialisation, spread
from jresnet.train.sharding import Rules
from jresnet.train.state import TrainState, starting_from
from jresnet.train.step import TrainStep, make_train_step


class Interrupted(Exception):  # noqa: N818 - it is no error
    """SIGTERM or Ctrl-C came and the state is saved. One line."""


class _Stopped(Exception):  # noqa: N818
    """Leaves an evaluation between two batches."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """How long `fit` trains, and when it evaluates, saves and logs.

    `None` for `eval_every` and `save_every` means at the end only.

    `eval_splits` are evaluated every `eval_every` steps, `final_splits` at the end. Metrics are
    logged as means over `log_every` steps. The newest `keep` checkpoints stay, with None all.
    One program runs `steps_per_dispatch` steps without the host, for small nets on fast devices.
    Evaluating, saving and logging are then due at multiples of it.
    """

    steps: int
    seed: int = 0
    eval_every: int | None = None
    save_every: int | None = None
    log_every: int = 1
    accumulate: int = 1
    steps_per_dispatch: int = 1
    ema_decay: float | None = None
    eval_splits: tuple[str, ...] = ("test",)
    final_splits: tuple[str, ...] = ("test",)
    keep: int | None = dataclasses.field(default=2, metadata={"incidental": True})

    def __post_init__(self) -> None:
        together = self.steps_per_dispatch
        due = ("steps", "eval_every", "save_every", "log_every")
        for name in ("steps_per_dispatch", "accumulate", "keep", *due):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name}={value}: expected 1 or more")
            if value is not None and name in due and value % together:
                raise UsageError(
                    f"{name}={value}: expected a multiple of steps_per_dispatch={together}"
                )


@dataclasses.dataclass(frozen=True)
class Fitted:
    """The final state, its metrics by split, and wall seconds over all sittings."""

    state: TrainState
    metrics: Results
    seconds: float


@dataclasses.dataclass(frozen=True)
class _Sitting:
    """The parts of one call of `fit` beside the state."""

    folder: Path
    process: int
    data: Data
    evaluator: Evaluate
    gallery: Gallery
    checkpoints: Checkpoints
    log: RunLog
    stop: Stop
    watchdog: Watchdog

    def evaluate(self, state: TrainState, step: int, splits: tuple[str, ...]) -> Results | None:
        """Metrics by split; None if SIGTERM or Ctrl-C came meanwhile."""

        def between(split: str) -> None:
            self.watchdog.progress(f"evaluating {split} at step {step}")
            if self.stop.requested():
                raise _Stopped

        self.watchdog.progress(f"evaluating at step {step}", COMPILING)
        try:
            return self.evaluator(state, splits, between)
        except _Stopped:
            return None

    def show(self, state: TrainState, step: int, results: Results) -> None:
        """The examples that are watched, as the net of this step sees them."""
        for split in results:
            self.watchdog.progress(f"drawing {split} at step {step}", COMPILING)
            images = self.gallery.watched(state.evaluated, split)
            self.log.pictures(step, images, f"{split}/examples")

    def draw(self, state: TrainState, split: str) -> bool:
        """The telling examples, into the folder; False if SIGTERM or Ctrl-C came meanwhile."""

        def between() -> None:
            self.watchdog.progress(f"drawing examples of {split}", COMPILING)
            if self.stop.requested():
                raise _Stopped

        try:
            self.gallery.write(state.evaluated, split, between)
        except _Stopped:
            return False
        return True

    def save(self, state: TrainState, step: int, unevaluated: bool) -> None:
        """`unevaluated`: whether the evaluation that is due comes after resuming."""
        self.watchdog.progress(f"saving step {step}")
        write_broken(self.folder, self.process, self.data.broken())
        self.checkpoints.save(state, {**self.log.position(), "unevaluated": unevaluated})

    def interrupted(self, step: int) -> Interrupted:
        """To be raised once what was saved is on disk."""
        self.checkpoints.wait()
        saved = f"step {step} is saved in {self.folder}" if step else "nothing to save yet"
        return Interrupted(f"stopped by {self.stop.by}; {saved}")


def fit(
    task: Task,
    optimizer: optax.GradientTransformation,
    data: Data,
    plan: Plan,
    folder: Path,
    name: str = "train",
    mesh: Mesh | None = None,
    initial: Variables | None = None,
    patience: float | None = None,
    profile: bool = False,
    constants: Any = None,
    sharding: Rules = (),
    pictures: int = 0,
    saved: Callable[[], None] | None = None,
    sinks: Sequence[OpensSink] = (Board,),
) -> Fitted:
    """Train to `plan.steps`, from the newest checkpoint in `folder` or from scratch.

    `mesh` is by default one of all devices. `initial`, in canonical form, takes the place of fresh
    variables at step 0. Without progress for `patience` seconds the process ends (`Watchdog`).
    `profile` leaves a trace of a few steps in `folder`/profile. `constants`, a tree of arrays, are
    an argument of the programs: the task finds them among the variables, and nothing saves them.
    `sharding` are rules by which the state is laid out over the mesh (`jresnet.train.sharding`).
    With `pictures` above 0 a task that shows its results (`Shows`) draws examples of the last split:
    the first few for TensorBoard at each evaluation, so many in `folder`/pictures at the end.
    With several processes each calls this, with the same arguments; `folder` is one for all, unless
    there is `saved`, which is called after each save, to copy a process's own folder elsewhere.
    `sinks` get the metrics beside metrics.jsonl (`jresnet.train.sinks`).

    Raises UsageError for a batch or a state that cannot be laid out or initial variables that do
    not fit, NonFiniteLossError, CheckpointError, and Interrupted after SIGTERM or Ctrl-C.
    """
    mesh = meshes.make_mesh() if mesh is None else mesh
    host, process = meshes.host(mesh), jax.process_index()
    asked, data = data, for_devices(data, mesh.shape["data"])
    for field in ("batch_size", "eval_batch_size"):
        meshes.check_batch_size(mesh, getattr(data, field), called(data, field))
    init_key, step_key = jax.random.split(jax.random.key(plan.seed))

    with contextlib.ExitStack() as stack:
        stack.enter_context(usage_errors())
        stop = stack.enter_context(stoppable())
        watchdog = stack.enter_context(Watchdog(patience, folder, process))
        checkpoints = stack.enter_context(Checkpoints(folder / "checkpoints", plan.keep, saved))
        example = spread(data.example_batch, mesh)
        watchdog.progress("making or restoring the first state", COMPILING)
        initialise, abstract = initialisation(
            task, optimizer, plan.ema_decay, example, mesh, sharding
        )
        restored = checkpoints.restore(abstract, functools.partial(unusable, folder))
        state = restored.state if restored else starting_from(initial, initialise(init_key))
        start = int(state.step)
        unevaluated = restored is not None and restored.extra.get("unevaluated", False)
        log_folder = folder if process == 0 else None
        position = restored and restored.extra
        log = RunLog(log_folder, name, plan.steps, plan.log_every, position, task, sinks)
        stack.push(lambda kind, error, trace: log.close(error))
        log.note(checkpoints.aside)
        if changed := changes_for_devices(asked, data, mesh.shape["data"]):
            log.say(changed)
        if constants is not None:
            constants = meshes.put_replicated(constants, mesh)
        evaluate = evaluator(task, data, mesh, host, constants)
        stack.callback(lambda: write_broken(folder, process, data.broken()))
        gallery = Gallery(task, data, mesh, log_folder, pictures, constants)
        judge = Judging(task, log_folder)
        sitting = _Sitting(
            folder, process, data, evaluate, gallery, checkpoints, log, stop, watchdog
        )
        if stop.requested():
            raise sitting.interrupted(start)

        def step_with(key: jax.Array, constants: Any) -> TrainStep:
            return make_train_step(task, optimizer, key, plan.accumulate, plan.ema_decay, constants)

        many = plan.steps_per_dispatch
        feed = Feed(data, mesh, many)
        train_step = step_with(step_key, constants)
        if start < plan.steps:
            watchdog.progress("compiling the train step", COMPILING)
            train_step, seconds = compiled(step_with, step_key, abstract, feed, constants)
            log.compiled(seconds)
        batches = stack.enter_context(contextlib.closing(feed.batches(start, host)))
        trace = Profile(folder / "profile" if profile else None, process, start, plan.steps, many)
        stack.callback(trace.close)
        pending = Pending(log)
        # The order, which resuming relies on: evaluate if due -> save if due -> dispatch -> log
        # the step before. What is restored was evaluated before it was saved, or says that it
        # was not: SIGTERM does not wait for an evaluation.
        for step in range(start, plan.steps, many):
            fresh = step > start
            unevaluated = due(step, plan.eval_every) and (fresh or unevaluated)
            stopping = stop.requested()
            saving = fresh and (stopping or due(step, plan.save_every))
            if unevaluated or saving:
                pending.fetch()
            if unevaluated and not stopping:
                results = sitting.evaluate(state, step, plan.eval_splits)
                unevaluated = stopping = results is None
                log_evaluation(log, step, results or {})
                judge(step, results or {})
                sitting.show(state, step, results or {})
            if saving or (fresh and stopping):
                sitting.save(state, step, unevaluated)
            if stopping:
                raise sitting.interrupted(step)
            trace.before(step)
            batch = log.take(batches, pending.newest)
            if step == start and process == 0:
                key = jax.random.fold_in(step_key, step)
                log.pictures(step, input_pictures(task, feed.first(batch), key), "train/images")
            with trace.step(step):
                state, metrics = train_step(state, feed.put(batch))
            log.say(trace.after(step, metrics))
            pending.add(step + many, metrics)
            watchdog.progress(f"step {step + many}")
        pending.fetch()
        final = sitting.evaluate(state, plan.steps, plan.final_splits)
        if start < plan.steps or unevaluated:
            log_evaluation(log, plan.steps, final or {})
            judge(plan.steps, final or {})
            sitting.show(state, plan.steps, final or {})
        if start < plan.steps:
            sitting.save(state, plan.steps, unevaluated=final is None)
        if final is None:
            raise sitting.interrupted(plan.steps)
        checkpoints.wait()
        if not sitting.draw(state, plan.final_splits[-1]):
            raise sitting.interrupted(plan.steps)
        return Fitted(state, final, log.seconds())


def due(step: int, every: int | None) -> bool:
    """Whether `step` is a multiple of `every`."""
    return every is not None and step % every == 0


def log_evaluation(log: RunLog, step: int, results: dict[str, dict[str, float]]) -> None:
    """Write what was evaluated after `step` steps."""
    for split, values in results.items():
        log.write(step, split, values)
    log.start_clock()
