"""Several processes as one run."""

import contextlib
import dataclasses
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar, cast

import jax
import numpy as np
from jax.experimental import multihost_utils

from jresnet.errors import UsageError
from jresnet.runtime.roll_call import Facts, Membership, call_roll, disagreement

R = TypeVar("R")
ADDRESS, COUNT, INDEX = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"


@dataclasses.dataclass(frozen=True)
class Processes:
    """Several processes as one run; a single one needs none of this."""

    coordinator_address: str | None = None
    """Host:port where process 0 listens; by default JAX_COORDINATOR_ADDRESS, or as detected on a
    TPU pod or under Slurm."""
    num_processes: int | None = None
    """Number of processes; by default JAX_NUM_PROCESSES, or as detected. 1: alone, whatever is
    detected."""
    process_id: int | None = None
    """Number of this process, from 0; by default JAX_PROCESS_ID, or as detected."""
    startup_timeout: float = 300.0
    """Seconds to wait until all have come."""


def init_distributed(
    processes: Processes = Processes(), identity: Callable[[], Facts] = dict
) -> None:
    """Make this process one of several, if it is; call before anything touches a jax backend.

    What is not stated is read from the environment, then detected by jax (TPU pods, Slurm, Open
    MPI, Kubernetes). `identity` gives what all processes must have in common. Raises UsageError for
    contradictions, TimeoutError, naming them, if processes did not come in time, and
    ConnectionError if jax does not connect them.
    """
    membership = find_membership(processes, os.environ)
    if membership is None:
        return
    timeout = processes.startup_timeout
    call_roll(membership, timeout, identity())
    # It would listen for SIGTERM in `stop.Stop`'s place.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            membership.address,
            membership.count,
            membership.index,
            initialization_timeout=max(60, round(timeout)),
        )
    except RuntimeError as error:  # such as a port that another program took a moment ago
        raise ConnectionError(
            f"coordinator_address={membership.address}: jax does not connect the processes ({error})"
        ) from error


def find_membership(processes: Processes, environment: Mapping[str, str]) -> Membership | None:
    """The place of this process among others; None if it is the only one. Raises UsageError."""
    address = processes.coordinator_address or environment.get(ADDRESS)
    count = processes.num_processes
    count = _number(COUNT, environment) if count is None else count
    index = _number(INDEX, environment) if processes.process_id is None else processes.process_id
    if count == 1:  # also the way to take one host of a pod for oneself
        return None
    if count is not None and count < 1:
        raise UsageError(f"num_processes={count}: expected 1 or more")
    place = (address, count, index)
    if None in place:
        # Private, and the only way to learn what jax.distributed.initialize() would connect to.
        from jax._src.clusters import ClusterEnv

        place = ClusterEnv.auto_detect_unset_distributed_params(
            address, count, index, None, None, round(processes.startup_timeout)
        )[:3]
    if place == (None, None, None) or place[1] == 1:
        return None
    names = ("coordinator_address", "num_processes", "process_id")
    missing = [name for name, value in zip(names, place, strict=True) if value is None]
    if missing:
        raise UsageError(
            f"{', '.join(missing)} missing: {', '.join(names)} go together, "
            f"as flags or as {ADDRESS}, {COUNT}, {INDEX}"
        )
    return Membership(*place)  # type: ignore[arg-type]


def several() -> bool:
    """Whether this process is one of several."""
    return jax.process_count() > 1


def is_first() -> bool:
    """Whether this is the process that writes, prints and draws."""
    return jax.process_index() == 0


def sync(name: str) -> None:
    """Wait here for all processes."""
    if several():
        multihost_utils.sync_global_devices(name)


def agree(value: bool) -> bool:
    """The value of process 0: file systems may show the others something older."""
    if not several():
        return value
    return bool(multihost_utils.broadcast_one_to_all(np.asarray(value)))


def attempt(function: Callable[[], R]) -> R:
    """Call `function` in all processes and wait for each other; the result of this one.

    Raises UsageError or OSError, in every process, if one of them did: the first one's, with the
    number of its process.
    """
    if not several():
        return function()
    result, fault = None, None
    try:
        result = function()
    except (UsageError, OSError) as error:
        fault = error
    kind = UsageError if isinstance(fault, UsageError) else OSError
    told = gather(json.dumps(None if fault is None else [kind.__name__, str(fault)]))
    failed = [(index, *json.loads(text)) for index, text in enumerate(told) if text != "null"]
    if not failed:
        return cast(R, result)
    index, name, message = failed[0]
    where = "" if len(failed) == len(told) else f"process {index}: "
    raise {"UsageError": UsageError, "OSError": OSError}[name](where + message) from fault


def compare(facts: Facts) -> None:
    """Raise UsageError in every process unless all have the same facts; it says who differs in what."""
    everyone = [json.loads(text) for text in gather(json.dumps(dict(facts)))]
    if said := disagreement(dict(enumerate(everyone))):
        raise UsageError(said)


def gather(text: str) -> list[str]:
    """The texts of all processes, by their number."""
    data = np.frombuffer(text.encode(), np.uint8)
    sizes = np.asarray(multihost_utils.process_allgather(np.int32(data.size)))
    padded = np.zeros(max(1, sizes.max()), np.uint8)
    padded[: data.size] = data
    rows = np.asarray(multihost_utils.process_allgather(padded))
    return [row[:size].tobytes().decode() for row, size in zip(rows, sizes, strict=True)]


def told(value: Any) -> Any:
    """The JSON-able `value` of process 0, in every process."""
    return json.loads(gather(json.dumps(value))[0]) if several() else value


def leave(status: int) -> NoReturn:
    """Exit with `status`, without the handshake at jax's exit where there are several processes.

    The others wait in a collective for this one, until their patience ends. A single process leaves
    at once too where Python would wait for a thread of Orbax's (seen with 0.12.8): after a save that
    found the disk full, that thread waits for signals that nobody sends.
    """
    several = jax.distributed.is_initialized()
    if several or any(map(_is_orbax, threading.enumerate())):
        sys.stdout.flush()
        sys.stderr.flush()
        if several:
            with contextlib.suppress(RuntimeError):  # no device, and so no number
                # jax aborts processes whose coordinator is gone: they first say why they end.
                time.sleep(is_first())
        os._exit(status)
    sys.exit(status)


def _is_orbax(thread: threading.Thread) -> bool:
    return type(thread).__module__.startswith("orbax.") and not thread.daemon


def _number(name: str, environment: Mapping[str, str]) -> int | None:
    value = environment.get(name)
    if value is None:
        return None
    if not value.strip().isdigit():
        raise UsageError(f"{name}={value!r}: expected a whole number")
    return int(value)
