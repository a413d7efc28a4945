"""How much memory a training needed."""

import resource
import sys

import jax


def peak_memory() -> dict[str, int]:
    """Bytes at most in use so far: `device`, of this process's fullest, where devices tell; else `process`.

    A CPU device does not tell; the process's own peak counts all it ever did, input included.
    """
    stats = [device.memory_stats() or {} for device in jax.local_devices()]
    if peaks := [found["peak_bytes_in_use"] for found in stats if "peak_bytes_in_use" in found]:
        return {"device": max(peaks)}
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2)
    return {"process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
