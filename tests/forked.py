"""A process that has imported all that a run needs, and forks one for each line of its stdin.

Each line is a JSON object: `argv` of tests.killable, files for `out` and `err`, seconds of
`patience`, and where to `inject` (see inject.c; null: nowhere). The answer, a line on stdout, is
the child's exit status; negative for a signal, null if it hung and was killed.
"""

import ctypes
import json
import os
import signal
import sys
import time

from jresnet.run.launch import launch
from tests.killable import killable


def ended(child: int, patience: float) -> int | None:
    """The exit status of a child."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def main() -> None:
    """Serve; in a child, run."""
    for line in sys.stdin:
        wanted = json.loads(line)
        if child := os.fork():
            print(json.dumps(ended(child, wanted["patience"])), flush=True)
            continue
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(wanted[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        if wanted["inject"]:
            under, at, how, log = wanted["inject"]
            ctypes.CDLL(None).inject(under.encode(), ctypes.c_long(at), how, log.encode())
        sys.argv[1:] = wanted["argv"]
        return launch(killable)


if __name__ == "__main__":
    main()
