"""Random changes of files of weights, for `tests.fuzz_weights`."""

import contextlib
import io
import random
import re
import zipfile

OPCODES = b"(.0124FGIJKLMNPQRSTUVXabcdeghijloprqstu})]\x80\x81\x82\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x96\x97"
NUMBERS = (0, 1, 2, 3, 4, 127, 128, 255, 2**15, 2**16 - 1, 2**27, 2**31 - 1, 2**32 - 1, 2**40, 2**62, 2**63 - 1, 2**64 - 1)  # fmt: skip


def mutated(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """One to eight changes; often inside of a zip, whose checksums are then computed again."""
    if data.startswith(b"PK") and rng.random() < 0.6:
        with contextlib.suppress(Exception):  # a zip that an earlier change broke
            return _inside_zip(data, others, rng)
    # Headers and pickles are short and at the ends; the arrays between them matter less.
    for _ in range(rng.choice((1, 1, 1, 2, 4, 8))):
        data = rng.choice(CHANGES)(data, others, rng)
    return data


def _inside_zip(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w") as new:
        names = old.namelist()
        target = rng.choice([n for n in names if n.endswith("data.pkl")] or names)
        target = target if rng.random() < 0.8 else rng.choice(names)
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename == target:
                for _ in range(rng.choice((1, 1, 1, 2, 4, 8))):
                    content = rng.choice(CHANGES)(content, others, rng)
            new.writestr(entry.filename, content, entry.compress_type)
    return stream.getvalue()


def _place(data: bytes, rng: random.Random) -> int:
    """A place in the data, most often within the first or last two thousand bytes."""
    near = rng.randrange(min(len(data), 2000)) if data else 0
    return rng.choice((near, max(0, len(data) - 1 - near), rng.randrange(max(1, len(data)))))


def _flip(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    i = _place(data, rng)
    return data[:i] + bytes([rng.randrange(256)]) + data[i + 1 :]


def _number(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    i, size = _place(data, rng), rng.choice((1, 2, 4, 8))
    value = rng.choice(NUMBERS) % 2 ** (8 * size)
    return data[:i] + value.to_bytes(size, rng.choice(("little", "big"))) + data[i + size :]


def _digits(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """Change a decimal number, in a header of JSON or of Python."""
    places = list(re.finditer(rb"\d+", data[:4000]))
    if not places:
        return data
    place = rng.choice(places)
    value = str(rng.choice(NUMBERS)).encode()
    value = value if rng.random() < 0.5 else value.rjust(len(place[0]), b" ")[: len(place[0])]
    return data[: place.start()] + value + data[place.end() :]


def _opcode(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    i, more = _place(data, rng), bytes(rng.choices(OPCODES, k=rng.randint(1, 4)))
    return data[:i] + more + data[i + rng.choice((0, len(more))) :]


def _cut(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    i = _place(data, rng)
    return data[:i] + data[i + rng.choice((1, 2, 8, 100, 10**9)) :]


def _copy(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    source = rng.choice((data, rng.choice(others)))
    i, j = _place(source, rng), _place(data, rng)
    piece = source[i : i + rng.choice((1, 4, 30, 200))]
    return data[:j] + piece * rng.choice((1, 1, 2, 1000)) + data[j + rng.choice((0, len(piece))) :]


CHANGES = (_flip, _number, _digits, _opcode, _cut, _copy)
