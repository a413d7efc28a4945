"""A roll call of several processes, before jax connects them.

jax aborts the process when one is missing, and names nobody. So the processes call the roll at
the coordinator's own address: process 0 listens there until all have come or time is up, tells
everyone who is missing or who differs in what, and leaves the port to jax.
"""

import asyncio
import contextlib
import dataclasses
import json
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from types import MappingProxyType
from typing import Any

from jresnet.errors import UsageError
from jresnet.text import shown

Answer = tuple[str, str]  # its kind, and what to say
_GREETING = "jresnet"
_GO, _MISSING, _WRONG = ("go", ""), "missing", "wrong"
_LONGEST = 2**20  # bytes of a line: arguments may be many
_GRACE = 1.0  # seconds in which those that come late are told of a contradiction
_SAID = 3  # differences that are named


@dataclasses.dataclass(frozen=True)
class Membership:
    """Process `index` of `count`; process 0 listens at `address`, `host:port`."""

    address: str
    count: int
    index: int

    def __post_init__(self) -> None:
        host, _, port = self.address.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 2**16:
            raise UsageError(f"coordinator_address={self.address}: expected host:port")
        if not 0 <= self.index < self.count:
            raise UsageError(f"process_id={self.index}: expected 0 to {self.count - 1}")

    @property
    def endpoint(self) -> tuple[str, int]:
        """Host and port."""
        host, _, port = self.address.rpartition(":")
        return host.strip("[]"), int(port)


Facts = Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class _Call:
    """The line of JSON that a process sends when it comes."""

    index: int
    count: int
    facts: Facts

    def line(self) -> bytes:
        return json.dumps([_GREETING, self.index, self.count, dict(self.facts)]).encode() + b"\n"


def call_roll(membership: Membership, timeout: float, facts: Facts = MappingProxyType({})) -> None:
    """Return when all processes have come and have the same facts.

    Raises TimeoutError naming those that have not come, UsageError naming those that contradict
    or differ and in what, and ConnectionError for a stranger in process 0's place.
    """
    if membership.index == 0:
        answer = asyncio.run(_listen(membership, timeout, facts))
    else:
        answer = _announce(membership, timeout, facts)
    if answer != _GO:
        raise {_MISSING: TimeoutError, _WRONG: UsageError}[answer[0]](answer[1])


def disagreement(facts: Mapping[int, Facts]) -> str:
    """One line that names the processes that differ from process 0, and their facts; empty if none."""
    first, said = facts[0], []
    for index, its in sorted(facts.items()):
        names = [name for name in {**first, **its} if first.get(name) != its.get(name)]
        if not names:
            continue
        there = ", ".join(f"{name}={_brief(its.get(name))}" for name in names[:_SAID])
        here = ", ".join(f"{name}={_brief(first.get(name))}" for name in names[:_SAID])
        more = f" (and {len(names) - _SAID} more)" if len(names) > _SAID else ""
        said.append(f"process {index} has {there}, process 0 has {here}{more}")
    if len(said) > _SAID:
        said[_SAID:] = [f"{len(said) - _SAID} more processes differ"]
    return f"{'; '.join(said)}: expected the same in all" if said else ""


def _brief(value: str | None) -> str:
    return "nothing" if value is None else shown(value, 60)


async def _listen(membership: Membership, timeout: float, facts: Facts) -> Answer:
    present: dict[int, asyncio.StreamWriter] = {}
    everyone: dict[int, Facts] = {0: facts}
    complete, wrong = asyncio.Event(), list[str]()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A stranger may send anything, hang up in any way, or stay and say nothing.
        with contextlib.suppress(OSError, ValueError, asyncio.CancelledError):
            if call := _read(await reader.readline()):
                await welcome(call, reader, writer)

    async def welcome(
        call: _Call, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        index, count = call.index, call.count
        if count != membership.count:
            wrong.append(f"process {index} has num_processes={count}, process 0 has")
            wrong[-1] += f" {membership.count}: expected the same in all"
        elif not 0 < index < count or index in present:
            wrong.append(f"process_id={index} came twice: expected one process for each")
            index = -len(wrong)  # a place for its answer
        else:
            everyone[index] = call.facts
        present[index] = writer
        if wrong or len(present) == membership.count - 1:
            complete.set()
        with contextlib.suppress(OSError):
            await reader.read()  # until it hangs up: after the answer, or because it died waiting
        if present.get(index) is writer:
            del present[index]

    async with _server(greet, membership):
        with contextlib.suppress(TimeoutError):  # answered below
            await asyncio.wait_for(complete.wait(), timeout)
        late = time.monotonic() + _GRACE
        while wrong and len(everyone) < membership.count and time.monotonic() < late:
            await asyncio.sleep(0.01)
        answer = (_WRONG, wrong[0]) if wrong else _verdict(membership, set(present), timeout)
        if answer == _GO and (said := disagreement(everyone)):
            answer = (_WRONG, said)
        for writer in present.values():
            writer.write(json.dumps(answer).encode() + b"\n")
        # The others hang up first, so that no connection lingers on the port that jax takes next.
        deadline = time.monotonic() + 5
        while present and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
    return answer


def _read(line: bytes) -> _Call | None:
    """A process's call; None for anything else, such as a port scanner's."""
    try:
        greeting, index, count, facts = json.loads(line)
    except (ValueError, TypeError):
        return None
    known = greeting == _GREETING and isinstance(index, int) and isinstance(count, int)
    return _Call(index, count, facts) if known and isinstance(facts, dict) else None


@contextlib.asynccontextmanager
async def _server(greet: Callable[..., Any], membership: Membership) -> AsyncIterator[None]:
    # Tasks of our own: of one that has not begun when all ends asyncio's server would log a stack.
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(greet(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        task.add_done_callback(lambda _: writer.close())  # whether it has begun or not

    try:
        server = await asyncio.start_server(connected, port=membership.endpoint[1], limit=_LONGEST)
    except OSError as error:
        raise UsageError(
            f"coordinator_address={membership.address}: process 0 cannot listen there "
            f"({error.strerror}); expected a free port"
        ) from error
    try:
        yield
    finally:
        # asyncio forgets whom it has accepted and not handed over when it closes: first accept no
        # more, then let the loop turn until all are here.
        for listening in server.sockets:
            asyncio.get_running_loop().remove_reader(listening.fileno())
        for _ in range(3):
            await asyncio.sleep(0)
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _verdict(membership: Membership, present: set[int], timeout: float) -> Answer:
    missing = [str(i) for i in range(1, membership.count) if i not in present]
    if not missing:
        return _GO
    noun = "process" if len(missing) == 1 else "processes"
    return (
        _MISSING,
        f"{noun} {', '.join(missing)} of {membership.count} did not come to "
        f"{membership.address} within {timeout:g} s",
    )


def _announce(membership: Membership, timeout: float, facts: Facts) -> Answer:
    deadline = time.monotonic() + timeout
    while True:
        try:
            connection = socket.create_connection(membership.endpoint, timeout=timeout)
        except OSError as error:  # process 0 is not up yet, or its name not yet known
            if time.monotonic() >= deadline:
                return (
                    _MISSING,
                    f"process 0 of {membership.count} did not come within {timeout:g} s: process "
                    f"{membership.index} gets no answer at {membership.address} ({error})",
                )
            time.sleep(0.1)
            continue
        call = _Call(membership.index, membership.count, facts)
        try:
            with connection, connection.makefile("rb") as stream:
                connection.settimeout(timeout + 10)  # process 0 may have come last
                connection.sendall(call.line())
                return _answer(stream.readline(_LONGEST), membership)
        except OSError as error:
            return (
                _MISSING,
                f"process 0 of {membership.count} went away in the roll call ({error})",
            )


def _answer(line: bytes, membership: Membership) -> Answer:
    if not line:
        return (_MISSING, f"process 0 of {membership.count} went away while it called the roll")
    try:
        kind, text = json.loads(line)
    except (ValueError, TypeError):
        kind, text = None, ""
    if kind in (_GO[0], _MISSING, _WRONG) and isinstance(text, str):
        return (kind, text)
    return (
        _WRONG,
        f"coordinator_address={membership.address}: a stranger answers there "
        f"({shown(line.decode(errors='backslashreplace').strip(), 60)}); expected process 0 of this run",
    )
