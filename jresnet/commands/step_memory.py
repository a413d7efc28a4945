"""How much memory a training step of a net, or of a run, will take."""

import dataclasses
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jresnet.benchmark.footprint import Footprint, footprint
from jresnet.data.normalisation import Normalize
from jresnet.errors import UsageError
from jresnet.models.headed import Headed
from jresnet.models.heads import Classifier
from jresnet.models.heads.maps import Segmenter
from jresnet.tasks.classify import Classify
from jresnet.tasks.segment import Segment
from jresnet.text import shown
from jresnet.train.optim import sgd
from jresnet.train.state import create
from jresnet.train.step import make_train_step
from jresnet.weights.recorded import Recorded


@dataclasses.dataclass(frozen=True)
class Step:
    """A training step.

    - task: its objective.
    - optimizer: of its parameters.
    - batch: shapes and types of as many examples.
    - accumulate: parts that a batch is divided into.
    - ema: whether a moving average of the weights is kept.
    """

    task: Any
    optimizer: optax.GradientTransformation
    batch: Callable[[int], dict[str, jax.ShapeDtypeStruct]]
    accumulate: int = 1
    ema: bool = False


def usual_step(model: Headed, image: tuple[int, ...]) -> Step:
    """SGD with momentum on a classifier of such images, or on a net for their label maps.

    Raises UsageError for another net.
    """
    normalize = Normalize((0.5,), (0.25,))
    if isinstance(model, Classifier):
        task, name, truth = Classify(model, normalize), "label", ()
    elif isinstance(model, Segmenter):
        task, name, truth = Segment(model, normalize), "map", image[:-1]
    else:
        raise UsageError(
            "batch: expected a classifier, a net for label maps or a run, "
            f"a {type(model).__name__} has no usual task"
        )

    def batch(rows: int) -> dict[str, jax.ShapeDtypeStruct]:
        return {
            "image": jax.ShapeDtypeStruct((rows, *image), jnp.uint8),
            name: jax.ShapeDtypeStruct((rows, *truth), jnp.int32),
        }

    return Step(task, _usual_optimizer(), batch)


def recorded_step(recorded: Recorded) -> Step:
    """A run's own. Raises UsageError where its record does not hold the task.

    An optimizer that cannot be made again is replaced by SGD with momentum, as stderr then says.
    """
    if recorded.parts.get("constants") is not None:
        raise UsageError(f"batch: run {str(recorded.folder)!r} has constants, which are not saved")
    try:
        optimizer = recorded.optimizer()
    except UsageError as error:
        print(f"counted with SGD and momentum: {shown(error)}", file=sys.stderr)
        optimizer = _usual_optimizer()
    plan = (recorded.parts.get("plan") or {}).get("fields", {})
    return Step(
        recorded.task(),
        optimizer,
        recorded.batch,
        plan.get("accumulate", 1),
        plan.get("ema_decay") is not None,
    )


def _usual_optimizer() -> optax.GradientTransformation:
    return sgd(lambda step: jnp.asarray(0.1), weight_decay=1e-4)


def memory_line(step: Step, rows: int, by_compiler: bool = False) -> str:
    """A sentence about the memory that a step on `rows` examples takes."""
    needed = compiled_footprint(step, rows) if by_compiler else step_footprint(step, rows)
    said = "by its compiler" if by_compiler else "about"
    return (
        f"a training step of {rows} takes {said} {needed.total / 2**30:.2f} GiB on "
        f"{jax.default_backend()}, {needed.arguments / 2**30:.2f} of them for parameters, "
        "the optimizer and the examples"
    )


def step_footprint(step: Step, rows: int) -> Footprint:
    """Bytes of a step on `rows` examples, from its trace alone."""
    return footprint(*_program(step, rows))


def compiled_footprint(step: Step, rows: int) -> Footprint:
    """The same as the compiler for this machine's device states it; takes as long as compiling."""
    program, *arguments = _program(step, rows)
    compiled = jax.jit(program, donate_argnums=0).lower(*arguments).compile()
    used: Any = compiled.memory_analysis()
    if used is None:
        raise UsageError(f"compile: the compiler for {jax.default_backend()} states no memory")
    beside = used.output_size_in_bytes - used.alias_size_in_bytes
    return Footprint(used.argument_size_in_bytes, beside + used.temp_size_in_bytes)


def _program(step: Step, rows: int) -> tuple[Callable[..., Any], Any, Any]:
    """The step, and the shapes of its state and of `rows` examples."""
    batch, key = step.batch(rows), jax.random.key(0)
    # As the constructors take it: a rebuilt one is a plain pair of functions.
    optimizer = optax.GradientTransformationExtraArgs(step.optimizer.init, step.optimizer.update)
    state = jax.eval_shape(
        lambda batch: create(step.task, optimizer, key, batch, ema=step.ema), batch
    )
    decay = 0.999 if step.ema else None
    program = make_train_step(step.task, optimizer, key, step.accumulate, decay)
    return program, state, batch
