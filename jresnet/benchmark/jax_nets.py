"""Contestants in JAX: this package's train step of a task, and inference or any other function."""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax.experimental.compilation_cache import compilation_cache
from jax.sharding import Mesh

from jresnet.benchmark.timing import Contestant
from jresnet.data.normalisation import IMAGENET
from jresnet.data.pipeline import ImageData
from jresnet.models.heads.maps import Segmenter
from jresnet.runtime.mesh import make_mesh
from jresnet.tasks.base import Batch, Task, Variables
from jresnet.tasks.classify import Classify
from jresnet.tasks.segment import Segment
from jresnet.train import setup
from jresnet.train.data import Shapes
from jresnet.train.feed import Feed
from jresnet.train.optim import sgd
from jresnet.train.setup import initialisation, spread
from jresnet.train.state import TrainState, starting_from
from jresnet.train.step import TrainStep, make_train_step


def synthetic(image: tuple[int, ...], batch: int, classes: int, maps: bool = False) -> Batch:
    """A batch of random images on the device with a label each, or with `maps` a label a pixel."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (batch, *image), np.uint8)
    if maps:
        labels = rng.integers(0, classes, (batch, *image[:-1]), np.int32)
    else:
        labels = np.arange(batch, dtype=np.int32) % classes
    name = "map" if maps else "label"
    return {"image": jax.device_put(pixels), name: jax.device_put(labels)}


def task_of(model: nn.Module) -> Task:
    """The task of a net for label maps or for classes."""
    return (Segment if isinstance(model, Segmenter) else Classify)(model, IMAGENET)


def training(model: nn.Module, batch: Batch) -> Contestant:
    """The train step of a net for label maps or for classes."""
    return learning(task_of(model), batch)


def learning(
    task: Task,
    batch: Batch,
    rate: float = 0.1,
    start: Variables | None = None,
    optimizer: optax.GradientTransformation | None = None,
    steps: int = 1,
) -> Contestant:
    """The train step of a task; the state is donated.

    Args:
        task: its objective.
        batch: arrays on the device, the same in each step.
        rate: of SGD with momentum and weight decay.
        start: variables that the net starts from, by default fresh.
        optimizer: instead of that.
        steps: train steps that are timed as one.
    """
    shapes = {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in batch.items()}
    make_step, abstract, fresh = begun(task, shapes, make_mesh(1), optimizer or usual(rate))
    state = starting_from(start, fresh)
    step, seconds, peak = compiled(make_step(jax.random.key(0)), (abstract, batch), donate=True)

    def run(count: int) -> None:
        nonlocal state
        for _ in range(count * steps):
            state, _ = step(state, batch)
        jax.block_until_ready(state)

    return Contestant(run, seconds, peak)


def fed(model: nn.Module, data: ImageData) -> Contestant:
    """The train step with one batch of `data` after the other, as `fit` feeds them."""
    feed = Feed(data, make_mesh(1))
    make_step, abstract, state = begun(task_of(model), data.example_batch, feed.mesh, usual())
    with uncached():
        step, seconds = setup.compiled(
            lambda key, _: make_step(key), jax.random.key(0), abstract, feed
        )
    batches = feed.batches(0, (0, 1))

    def run(count: int) -> None:
        nonlocal state
        for _ in range(count):
            state, _ = step(state, feed.put(next(batches)))
        jax.block_until_ready(state)

    return Contestant(run, seconds, None)


def usual(rate: float = 0.1) -> optax.GradientTransformation:
    """SGD with momentum and weight decay."""
    return sgd(lambda step: jnp.asarray(rate), weight_decay=1e-4)


def begun(
    task: Task, batch: Shapes, mesh: Mesh, optimizer: optax.GradientTransformation
) -> tuple[Callable[[jax.Array], TrainStep], TrainState, TrainState]:
    """The parts of a training.

    Returns:
        A function from a key to the train step, the shapes of the state, and a fresh state.
    """
    initialise, abstract = initialisation(task, optimizer, None, spread(batch, mesh), mesh)
    step = functools.partial(make_train_step, task, optimizer)
    return step, abstract, initialise(jax.random.key(0))


def inference(model: nn.Module, variables: Mapping[str, Any], batch: Batch) -> Contestant:
    """Logits of normalised float32 images."""
    variables = jax.device_put(dict(variables))
    images = jax.jit(IMAGENET)(batch["image"])
    return computed(
        lambda variables, images: model.apply(variables, images, train=False), variables, images
    )


def computed(function: Callable[..., Any], *arguments: Any) -> Contestant:
    """A function of arrays on the device, compiled."""
    step, seconds, peak = compiled(function, arguments)

    def run(count: int) -> None:
        for _ in range(count - 1):
            step(*arguments)
        jax.block_until_ready(step(*arguments))

    return Contestant(run, seconds, peak)


def compiled(
    function: Callable[..., Any], arguments: tuple[Any, ...], donate: bool = False
) -> tuple[Callable[..., Any], float, int | None]:
    """The compiled function, the seconds of tracing and compiling, and its peak memory in bytes."""
    with uncached():
        begun = time.perf_counter()
        jitted = jax.jit(function, donate_argnums=0 if donate else ())
        executable = jitted.lower(*arguments).compile()
        seconds = time.perf_counter() - begun
    used: Any = executable.memory_analysis()
    peak = used and (
        used.argument_size_in_bytes
        + used.output_size_in_bytes
        - used.alias_size_in_bytes
        + used.temp_size_in_bytes
    )
    return executable, seconds, peak


@contextlib.contextmanager
def uncached() -> Iterator[None]:
    """Without the compilation cache, so that timed programs are really compiled."""
    config: Any = jax.config
    kept = config.jax_enable_compilation_cache
    enable_cache(False)
    try:
        yield
    finally:
        enable_cache(kept)


@contextlib.contextmanager
def cached_in(folder: Path) -> Iterator[None]:
    """With all compiled programs kept in `folder` and read from there, and nowhere else."""
    config: Any = jax.config
    names = (
        "jax_compilation_cache_dir",
        "jax_enable_compilation_cache",
        "jax_persistent_cache_min_compile_time_secs",
    )
    kept = {name: getattr(config, name) for name in names}
    try:
        for name, value in zip(names, (str(folder), True, 0.0), strict=True):
            jax.config.update(name, value)
        compilation_cache.reset_cache()
        yield
    finally:
        for name, value in kept.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()


def enable_cache(enabled: bool) -> None:
    """Turn the compilation cache on or off.

    jax reads the setting once. Before the cache is reset, the setting changes only the keys of
    programs, and they are still cached (0.10.2).
    """
    jax.config.update("jax_enable_compilation_cache", enabled)
    compilation_cache.reset_cache()


def bandwidth(bytes_to_copy: int = 2**30, seconds: float = 1.0) -> float:
    """Bytes a second that the device reads and writes, by copying an array of that size."""
    array = jax.device_put(np.zeros(bytes_to_copy // 4, np.float32))
    copy = jax.jit(lambda x: x + 1)
    jax.block_until_ready(copy(array))
    begun, rounds = time.perf_counter(), 0
    while rounds == 0 or time.perf_counter() - begun < seconds:
        jax.block_until_ready([copy(array) for _ in range(8)])
        rounds += 8
    return 2 * bytes_to_copy * rounds / (time.perf_counter() - begun)
