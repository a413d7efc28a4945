"""How many CPU cores there are, and how many threads that makes in each process that decodes."""

import os


def cores() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def decoding_threads(workers: int) -> int:
    """One more than the process's share of the cores: while one waits for a file or its turn in Python the others decode.

    Eight at most, since no more decode at once beside Python's own work; more only wait for files that are far away.
    """
    return min(8, -(-cores() // max(1, workers)) + 1)
