"""Devices as a mesh, and arrays laid over it."""

from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jresnet.errors import UsageError


def make_mesh(devices: int | None = None, model: int = 1) -> Mesh:
    """The first `devices` devices, by default all of all processes, as `[data, model]`.

    Process by process, so that each holds consecutive rows of a batch: jax.make_mesh orders by
    neighbourhood, which mixes the processes of a pod and with them the groups of BatchNorm.
    Raises UsageError if there are fewer, or they do not divide by `model`.
    """
    present = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    if devices is not None and not 1 <= devices <= len(present):
        raise UsageError(f"devices={devices}: expected 1 to {len(present)}, all that are here")
    if devices not in (None, len(present)) and jax.process_count() > 1:
        raise UsageError(
            f"devices={devices}: expected {len(present)}, all devices of the "
            f"{jax.process_count()} processes; leave --devices out"
        )
    used = np.asarray(present[:devices])
    if model < 1 or used.size % model:
        accepted = ", ".join(str(n) for n in range(1, used.size + 1) if used.size % n == 0)
        raise UsageError(
            f"model_parallel={model}: expected a divisor of the {used.size} devices: {accepted}"
        )
    # Auto: the compiler places collectives. jax's default, Explicit, makes shardings types.
    axes = (AxisType.Auto,) * 2
    return Mesh(used.reshape(-1, model), ("data", "model"), axis_types=axes)


def host(mesh: Mesh) -> tuple[int, int]:
    """The number of the block of a batch's rows that this process holds, and how many blocks there are.

    Processes that share a place on the axis `data` hold the same rows.
    """
    here = jax.process_index()
    local = [row for row, places in enumerate(mesh.devices) if here in owners(places)]
    size = len(local)
    if not local or local != list(range(local[0], local[0] + size)) or local[0] % size:
        raise UsageError(f"process {here} has places {local} on the axis data: expected a block")
    return local[0] // size, len(mesh.devices) // size


def owners(devices: np.ndarray) -> set[int]:
    """The processes that devices belong to."""
    return {device.process_index for device in devices.flat}


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def over_data(mesh: Mesh) -> NamedSharding:
    """Rows spread over the axis `data`."""
    return NamedSharding(mesh, PartitionSpec("data"))


def check_batch_size(mesh: Mesh, batch_size: int, name: str = "batch_size") -> None:
    """Raises UsageError unless the batch divides among the devices."""
    devices = mesh.shape["data"]
    if batch_size % devices:
        accepted = ", ".join(str(devices * n) for n in sorted({1, max(1, batch_size // devices)}))
        share = "devices" if mesh.shape["model"] == 1 else "places of the axis data"
        raise UsageError(
            f"{name}={batch_size}: expected a multiple of the {devices} {share}, such as {accepted}"
        )


def put_batch(batch: dict[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """This host's rows of a batch, as part of the global one."""
    sharding = over_data(mesh)
    return {
        key: jax.make_array_from_process_local_data(sharding, value) for key, value in batch.items()
    }


def put_replicated(tree: Any, mesh: Mesh) -> Any:
    """Values that every process has, whole on every device."""
    sharding = replicated(mesh)
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), tree
    )


def fetch(tree: Any) -> Any:
    """Replicated values as numpy arrays on the host."""
    return jax.tree.map(np.asarray, jax.device_get(tree))
