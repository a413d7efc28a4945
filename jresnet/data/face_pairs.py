"""Pairs of faces in files: CSV with `fold,name1,index1,name2,index2,same`, and LFW's `pairs.txt`."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jresnet.data.sources.files import read_listing
from jresnet.data.sources.people import picture_numbers
from jresnet.errors import UsageError
from jresnet.text import shown

SAME = {"0": False, "1": True, "false": False, "true": True}
COLUMNS = ("fold", "name1", "index1", "name2", "index2", "same")


class FacePairs(NamedTuple):
    """Positions in a split, whether they are one person, and the fold; `[pairs]` each."""

    left: np.ndarray
    right: np.ndarray
    same: np.ndarray
    fold: np.ndarray


class _Row(NamedTuple):
    line: int
    fold: int
    one: tuple[str, int]
    other: tuple[str, int]
    same: bool


def read_pairs(path: Path, files: Sequence[str]) -> FacePairs:
    """The pairs of a file, of pictures of a split whose `files` are `<person>/<file>`.

    Raises UsageError, with the line, for what is no pair, and for a picture that is not in the
    split; also for pairs that cannot be scored (`check_folds`).
    """
    lines = read_listing(path)
    header = [name.strip() for name in lines[0].split(",")] if lines else []
    rows = list(_of_csv(path, lines) if set(COLUMNS) <= set(header) else _of_lfw(path, lines))
    if not rows:
        raise UsageError(
            f"{shown(path)}: no pairs; expected {','.join(COLUMNS)} or LFW's pairs.txt"
        )
    check_folds(path, [row.same for row in rows], [row.fold for row in rows])
    places = picture_numbers(files)
    for row in rows:
        for person, number in (row.one, row.other):
            if (person, number) not in places:
                raise UsageError(
                    f"{shown(path)} line {row.line}: no picture {number} of {person!r}; expected one "
                    f"of the {len(files)} of the test split"
                )
        if row.same != (row.one[0] == row.other[0]):
            word = "one person" if row.same else "two people"
            raise UsageError(
                f"{shown(path)} line {row.line}: {row.one[0]!r} and {row.other[0]!r}; expected {word}"
            )
    return FacePairs(
        np.array([places[row.one] for row in rows]),
        np.array([places[row.other] for row in rows]),
        np.array([row.same for row in rows]),
        np.array([row.fold for row in rows]),
    )


def check_folds(
    path: Path, same: Sequence[Any] | np.ndarray, fold: Sequence[Any] | np.ndarray
) -> None:
    """Raise UsageError for pairs of one fold, or of one kind: their scores have no threshold."""
    folds, kinds = len(set(fold)), {bool(each) for each in same}
    if folds > 1 and len(kinds) > 1:
        return
    count = f"{folds} fold" + "s" * (folds != 1)
    if len(kinds) == 1:
        count += ", each pair of one person" if True in kinds else ", each pair of two people"
    raise UsageError(
        f"{shown(path)}: {count}; expected 2 or more, with pairs of one person and of two"
    )


def _of_csv(path: Path, lines: Sequence[str]) -> Iterator[_Row]:
    for line, row in enumerate(csv.DictReader(lines), 2):
        try:
            one, other = ((row[f"name{n}"].strip(), int(row[f"index{n}"])) for n in (1, 2))
            same = SAME[row["same"].strip().lower()]
            yield _Row(line, int(row["fold"]), one, other, same)
        except (KeyError, ValueError, AttributeError) as error:
            raise UsageError(f"{shown(path)} line {line}: expected {','.join(COLUMNS)}") from error


def _of_lfw(path: Path, lines: Sequence[str]) -> Iterator[_Row]:
    """`folds TAB pairs`, then so many pairs `name i j` and so many `name i other j`, for each fold.

    A single number is that of pairs: LFW's lists for development (View 1) are one fold.
    """
    numbers = lines[0].split() if lines else []
    if len(numbers) not in (1, 2) or not all(n.isdecimal() and int(n) for n in numbers):
        raise UsageError(
            f"{shown(path)} line 1: expected the numbers of folds and of pairs, or {','.join(COLUMNS)}"
        )
    folds, each = (1, *map(int, numbers))[-2:]
    body = [(n, line.split()) for n, line in enumerate(lines[1:], 2) if line.strip()]
    if len(body) != 2 * folds * each:
        raise UsageError(f"{shown(path)}: {len(body)} pairs; expected {2 * folds * each} by its first line")  # fmt: skip
    for place, (line, words) in enumerate(body):
        same = place // each % 2 == 0
        if len(words) != (3 if same else 4) or not all(w.isdecimal() for w in (words[1], words[-1])):  # fmt: skip
            raise UsageError(f"{shown(path)} line {line}: expected {'name i j' if same else 'name i name j'}")  # fmt: skip
        other = (words[0] if same else words[2], int(words[-1]))
        yield _Row(line, place // (2 * each), (words[0], int(words[1])), other, same)


FEW = 2000  # pictures of which all pairs are looked at: two millions


def drawn_pairs(
    labels: Sequence[int] | np.ndarray, folds: int = 10, most: int = 3000, seed: int = 0
) -> FacePairs:
    """Pairs of one person and as many of two, at most `most` each, dealt to folds in turn.

    A function of the seed. Raises UsageError where nobody has two pictures.
    """
    people, rng = np.asarray(labels), np.random.default_rng(seed)
    left, right = _candidates(people, most, rng)
    same = people[left] == people[right]
    kinds = [rng.permutation(np.flatnonzero(mask)) for mask in (same, ~same)]
    count = min(most, *map(len, kinds))
    if count < folds:
        raise UsageError(
            f"pairs={count}: expected at least {folds} of one person and of two among the test faces"
        )
    rows = np.concatenate([kind[:count] for kind in kinds])
    fold = np.tile(np.arange(count) % folds, 2)
    return FacePairs(left[rows], right[rows], same[rows], fold)


def _candidates(
    people: np.ndarray, most: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of few pictures; of many all of one person, and some of any two."""
    if len(people) <= FEW:
        return np.triu_indices(len(people), 1)
    order = np.argsort(people, kind="stable")
    _, starts = np.unique(people[order], return_index=True)
    of_one = [
        members[np.stack(np.triu_indices(len(members), 1))]
        for members in np.split(order, starts[1:])
    ]
    some = rng.integers(0, len(people), (2, 4 * most))
    some = some[:, people[some[0]] != people[some[1]]]
    pairs = np.sort(np.concatenate([*of_one, np.unique(np.sort(some, 0), axis=1)], 1), 0)
    return pairs[0], pairs[1]
