"""Devices as a mesh, and arrays laid over it."""

from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jresnet.errors import UsageError


def make_mesh(devices: int | None = None, model: int = 1) -> Mesh:
    """The first `devices` devices, by default all of all processes, as `[data, model]`.

    Raises UsageError if there are fewer.
    """
    found = jax.devices()
    if devices is not None and not 1 <= devices <= len(found):
        raise UsageError(f"devices {devices}: this machine has {len(found)}, take 1 to that many")
    used = found[:devices]
    shape = (len(used) // model, model)
    # Auto: the compiler places collectives. jax's default, Explicit, makes shardings types.
    return jax.make_mesh(shape, ("data", "model"), axis_types=(AxisType.Auto,) * 2, devices=used)


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
        raise UsageError(
            f"{name} {batch_size} does not divide among {devices} devices: "
            f"take a multiple of {devices}, such as {accepted}"
        )


def put_batch(batch: dict[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """This host's rows of a batch, as part of the global one."""
    sharding = over_data(mesh)
    return {
        key: jax.make_array_from_process_local_data(sharding, value) for key, value in batch.items()
    }


def fetch(tree: Any) -> Any:
    """Replicated values as numpy arrays on the host."""
    return jax.tree.map(np.asarray, jax.device_get(tree))
