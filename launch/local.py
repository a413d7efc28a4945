"""Several processes on this machine as one run; each line has the number of its process.

    python launch/local.py 2 -- python -m experiments.degradation --depths 8 --steps 40
    python launch/local.py 4 --devices 2 -- python -m experiments.cifar10 --smoke

If one fails, the others are killed, and its status is this program's. Ctrl-C and SIGTERM are passed
on to all, so that they save and exit. On CPU each process has `--devices` devices (1);
on GPUs give `--gpus`, and each process takes one of them.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import threading
import time


def free_address() -> str:
    """`localhost:port` of a free port."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return f"localhost:{probe.getsockname()[1]}"


def environment(index: int, count: int, address: str, devices: int, gpus: bool) -> dict[str, str]:
    """The environment that tells a process its place; see jresnet.runtime.distributed."""
    place = {
        "JAX_COORDINATOR_ADDRESS": address,
        "JAX_NUM_PROCESSES": str(count),
        "JAX_PROCESS_ID": str(index),
        "PYTHONUNBUFFERED": "1",
    }
    if gpus:
        return {**os.environ, **place, "JAX_LOCAL_DEVICE_IDS": str(index)}
    # The last flag of a name counts.
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    return {**os.environ, **place, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags.strip()}


def prefix_lines(index: int, process: subprocess.Popen[str]) -> None:
    """Copy a process's output until it ends."""
    assert process.stdout is not None
    for line in process.stdout:
        print(f"[{index}] {line}", end="", flush=True)


def wait(processes: list[subprocess.Popen[str]]) -> int:
    """0 once all have ended well; the status of the first that did not, the others killed."""
    while True:
        codes = [process.poll() for process in processes]
        failed = [(index, code) for index, code in enumerate(codes) if code]
        if failed:
            # A moment for the others to say what they saw.
            time.sleep(1)
            for process in processes:
                process.kill()
            index, code = failed[0]
            print(f"process {index} of {len(processes)} ended with status {code}", file=sys.stderr)
            return code if code > 0 else 128 - code
        if all(code == 0 for code in codes):
            return 0
        time.sleep(0.05)


def main() -> int:
    """Start, watch and end the processes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("count", type=int, help="number of processes")
    parser.add_argument("--devices", type=int, default=1, help="CPU devices of each process")
    parser.add_argument("--gpus", action="store_true", help="one GPU for each process")
    parser.add_argument("command", nargs="+", help="-- and the command of each")
    options = parser.parse_args()
    command: list[str] = options.command
    if options.count < 1 or options.devices < 1:
        parser.error("expected a number of processes, of at least 1")
    address = free_address()
    processes = [
        subprocess.Popen(
            command,
            env=environment(index, options.count, address, options.devices, options.gpus),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(options.count)
    ]

    def hand_on(number: int, frame: object) -> None:
        for process in processes:
            process.send_signal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, hand_on)
    signal.signal(signal.SIGINT, hand_on)
    readers = [
        threading.Thread(target=prefix_lines, args=place, daemon=True)
        for place in enumerate(processes)
    ]
    for reader in readers:
        reader.start()
    try:
        status = wait(processes)
    finally:
        for process in processes:
            process.kill()
    for reader in readers:
        reader.join(5)
    return status


if __name__ == "__main__":
    sys.exit(main())
