"""How much memory a training needed."""

import resource
import sys

import jax


def peak_memory() -> dict[str, int]:
    """Peak memory so far in bytes, by `device` or by `process`.

    `device` is the fullest device of this process, where devices report it. CPU devices do not: then
    `process` counts all that the process ever held, input included.
    """
    stats = [device.memory_stats() or {} for device in jax.local_devices()]
    if peaks := [each["peak_bytes_in_use"] for each in stats if "peak_bytes_in_use" in each]:
        return {"device": max(peaks)}
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2)
    return {"process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
