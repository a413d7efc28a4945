"""Who of several processes came: asked before jax connects them.

jax aborts the process when one is missing, and names nobody. So the processes call the roll at
the coordinator's own address: process 0 listens there until all have come or time is up, tells
everyone who is missing, and leaves the port to jax.
"""

import asyncio
import contextlib
import dataclasses
import socket
import time
from collections.abc import AsyncIterator

from jresnet.errors import UsageError

_GO = "go"


@dataclasses.dataclass(frozen=True)
class Membership:
    """Process `index` of `count`; process 0 listens at `address`, `host:port`."""

    address: str
    count: int
    index: int

    def __post_init__(self) -> None:
        host, _, port = self.address.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 2**16:
            raise UsageError(f"coordinator_address {self.address!r}: expected host:port")
        if not 0 <= self.index < self.count:
            raise UsageError(f"process_id {self.index}: expected 0 to {self.count - 1}")

    @property
    def endpoint(self) -> tuple[str, int]:
        """Host and port."""
        host, _, port = self.address.rpartition(":")
        return host.strip("[]"), int(port)


def call_roll(membership: Membership, timeout: float) -> None:
    """Return when all processes have come. Raises TimeoutError naming those that have not."""
    if membership.index == 0:
        answer = asyncio.run(_listen(membership, timeout))
    else:
        answer = _announce(membership, timeout)
    if answer != _GO:
        raise TimeoutError(answer)


async def _listen(membership: Membership, timeout: float) -> str:
    present: dict[int, asyncio.StreamWriter] = {}
    complete, wrong = asyncio.Event(), list[str]()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        words = (await reader.readline()).split()
        if len(words) != 2 or not all(word.isdigit() for word in words):
            return writer.close()  # a port scanner, not one of us
        index, count = map(int, words)
        if count != membership.count:
            wrong.append(f"process {index} has num_processes {count}, process 0 has")
            wrong[-1] += f" {membership.count}: expected the same in all"
        elif index == 0 or index in present:
            wrong.append(f"process_id {index} came twice: expected one process for each")
        present[index] = writer
        if wrong or len(present) == membership.count - 1:
            complete.set()
        await reader.read()  # until it hangs up: after the answer, or because it died waiting
        if present.get(index) is writer:
            del present[index]
        writer.close()

    async with _server(greet, membership):
        with contextlib.suppress(TimeoutError):  # answered below
            await asyncio.wait_for(complete.wait(), timeout)
        answer = wrong[0] if wrong else _verdict(membership, set(present), timeout)
        for writer in present.values():
            writer.write(f"{answer}\n".encode())
        # The others hang up first, so that no connection lingers on the port that jax takes next.
        deadline = time.monotonic() + 5
        while present and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
    return answer


@contextlib.asynccontextmanager
async def _server(greet: object, membership: Membership) -> AsyncIterator[None]:
    try:
        server = await asyncio.start_server(greet, port=membership.endpoint[1])  # type: ignore[arg-type]
    except OSError as error:
        raise UsageError(
            f"coordinator_address {membership.address!r}: process 0 cannot listen there "
            f"({error.strerror}); take a free port"
        ) from error
    try:
        yield
    finally:
        server.close()


def _verdict(membership: Membership, present: set[int], timeout: float) -> str:
    missing = [str(i) for i in range(1, membership.count) if i not in present]
    if not missing:
        return _GO
    noun = "process" if len(missing) == 1 else "processes"
    return (
        f"{noun} {', '.join(missing)} of {membership.count} did not come to "
        f"{membership.address} within {timeout:g} s"
    )


def _announce(membership: Membership, timeout: float) -> str:
    deadline = time.monotonic() + timeout
    while True:
        try:
            connection = socket.create_connection(membership.endpoint, timeout=timeout)
        except OSError as error:  # process 0 is not up yet, or its name not yet known
            if time.monotonic() >= deadline:
                return (
                    f"process 0 of {membership.count} did not come within {timeout:g} s: process "
                    f"{membership.index} gets no answer at {membership.address} ({error})"
                )
            time.sleep(0.1)
            continue
        with connection, connection.makefile("rw") as stream:
            connection.settimeout(timeout + 10)  # process 0 may have come last
            stream.write(f"{membership.index} {membership.count}\n")
            stream.flush()
            answer = stream.readline().strip()
        if answer:
            return answer
        return f"process 0 of {membership.count} went away while it called the roll"
