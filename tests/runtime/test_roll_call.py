"""The roll call: who came, who is missing, who differs; strangers at the port."""

import asyncio
import contextlib
import gc
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from jresnet.errors import UsageError
from jresnet.runtime import roll_call
from jresnet.runtime.roll_call import Membership, call_roll, disagreement
from tests.runtime.test_distributed import free_port


def roll(count, come, timeout=30.0, address=None, claims=None, facts=None):
    """The answer to each process that comes; `come` may name one twice."""
    address = address or f"localhost:{free_port()}"

    def one(index):
        try:
            place = Membership(address, (claims or {}).get(index, count), index)
            call_roll(place, timeout, (facts or {}).get(index, {}))
        except (TimeoutError, UsageError) as error:
            return str(error)
        return "all came"

    with ThreadPoolExecutor(len(come)) as pool:
        answers = list(pool.map(one, come))
    return dict(zip(come, answers, strict=True)) if len(set(come)) == len(come) else answers


def test_all_come_in_any_order_and_the_port_is_free_again():
    address = f"localhost:{free_port()}"
    for _ in range(2):
        assert roll(4, [2, 1, 0, 3], address=address) == dict.fromkeys([2, 1, 0, 3], "all came")
    socket.create_server(("localhost", int(address.split(":")[1]))).close()


def test_everyone_is_told_who_did_not_come():
    answers = roll(4, [0, 2], timeout=1.0)
    assert answers[0] == answers[2]
    assert "processes 1, 3 of 4 did not come to localhost:" in answers[0]
    assert answers[0].endswith("within 1 s")


def test_without_process_0_the_others_say_so():
    answer = roll(3, [2], timeout=0.5)[2]
    assert answer.startswith("process 0 of 3 did not come within 0.5 s: process 2 gets no answer")


def test_one_that_came_and_died_counts_as_missing():
    port = free_port()

    def come_and_die():
        while True:
            try:
                with socket.create_connection(("localhost", port)) as connection:
                    connection.sendall(b'["jresnet", 1, 3, {}]\n')
                return
            except ConnectionRefusedError:
                time.sleep(0.01)

    threading.Thread(target=come_and_die).start()
    assert "process 1 of 3 did not" in roll(3, [0, 2], 1.5, f"localhost:{port}")[0]


def test_contradictions_end_the_roll_at_once():
    answers = roll(3, [0, 1], claims={1: 2})
    assert answers[0] == answers[1]
    assert answers[0].startswith("process 1 has num_processes=2, process 0 has 3")


def test_all_are_told_who_differs_in_what():
    same = {"learning_rate": "0.1", "jax": "1"}
    facts = {0: same, 1: same, 2: {**same, "learning_rate": "0.2", "seed": "3"}}
    answers = roll(3, [0, 1, 2], facts=facts)
    assert set(answers.values()) == {
        "process 2 has learning_rate=0.2, seed=3, process 0 has learning_rate=0.1, seed=nothing: "
        "expected the same in all"
    }
    many = {index: {f"a{i}": str(index) for i in range(9)} for index in range(8)}
    said = disagreement(many)
    assert "process 1 has a0=1, a1=1, a2=1, process 0 has a0=0, a1=0, a2=0 (and 6 more)" in said
    assert "; 4 more processes differ: expected" in said
    assert len(disagreement({0: {}, 1: {"a": "\x1b\n" * 999}})) < 200


def test_a_place_taken_twice_is_one_line_for_all():
    answers = roll(3, [0, 1, 1], timeout=30)
    assert set(answers) == {"process_id=1 came twice: expected one process for each"}


def test_strangers_at_the_port_change_nothing(caplog, capfd):
    port, done = free_port(), threading.Event()
    words = [b"GET / HTTP/1.1\r\n\r\n", b"\xff\xfe\n", b"[1]\n", b"x" * 3_000_000, b""]

    def bother():
        strangers = []
        while len(strangers) < len(words):
            try:
                strangers.append(socket.create_connection(("localhost", port)))
            except ConnectionRefusedError:
                time.sleep(0.01)
                continue
            with contextlib.suppress(OSError):
                strangers[-1].settimeout(1)
                strangers[-1].sendall(words[len(strangers) - 1])
        done.set()
        time.sleep(1)  # some stay and say nothing
        for stranger in strangers:
            stranger.close()

    def come():
        done.wait(20)
        call_roll(Membership(f"localhost:{port}", 2, 1), 10)

    threads = [threading.Thread(target=one) for one in (bother, come)]
    for thread in threads:
        thread.start()
    call_roll(Membership(f"localhost:{port}", 2, 0), 30)
    for thread in threads:
        thread.join()
    assert (caplog.text, *capfd.readouterr()) == ("", "", "")


@pytest.mark.parametrize("turns", range(8))
def test_who_comes_as_the_roll_ends_leaves_no_stack(turns, caplog, capfd):
    """The others' jax connects to the same port at once."""
    membership = Membership(f"localhost:{free_port()}", 2, 0)

    async def greet(reader, writer):
        await reader.read()

    async def ends():
        async with roll_call._server(greet, membership):
            stranger = socket.create_connection(membership.endpoint)
            for _ in range(turns):  # of the loop, which accepts, makes a task and begins it
                await asyncio.sleep(0)
        stranger.close()

    asyncio.run(ends())
    gc.collect()  # asyncio tells of a forgotten task when it goes
    assert (caplog.text, *capfd.readouterr()) == ("", "", "")


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad\x1b Request\r\n", b"[]\n", b"7", b""])
def test_a_stranger_in_the_place_of_process_0_is_named(answer):
    with socket.create_server(("localhost", 0)) as server:

        def reply():
            connection, _ = server.accept()
            with connection:
                connection.recv(99)
                connection.sendall(answer)

        threading.Thread(target=reply).start()
        address = f"localhost:{server.getsockname()[1]}"
        said = roll(2, [1], 1, address)[1]
    if answer:
        assert said.startswith(f"coordinator_address={address}: a stranger answers there (")
        assert "\x1b" not in said
    else:
        assert "went away" in said


def test_a_taken_port_is_named():
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        assert (
            f"localhost:{port}: process 0 cannot listen" in roll(2, [0], 1, f"localhost:{port}")[0]
        )
