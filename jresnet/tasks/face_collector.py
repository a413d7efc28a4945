"""Embeddings of a split gathered, and scored: pairs, and the people of a gallery. NumPy alone."""

from collections.abc import Mapping, Sequence

import numpy as np

from jresnet.tasks.verification import (
    FARS,
    Pairs,
    cumulative_matches,
    matches,
    similarities,
    spread,
    verification_scores,
)

RANKS = (1, 5, 10)


class FaceCollector:
    """Gathers `embedding` `[batch, n]`, `index` and `label` of a split, and scores its pairs.

    Pairs of a row that never came, since its file is broken, are left out; `pairs/lost` counts them.
    There are no scores without pairs of both kinds in two folds. Scores of `further` sets of pairs have the set's name before theirs. With `gallery` above 0 so
    many pictures of each person, the first, are the gallery, and the others are looked for in it:
    `rank/1` is the share whose person is the nearest (`RANKS`, closed set).
    """

    def __init__(
        self,
        pairs: Pairs | None,
        fars: Sequence[float] = FARS,
        further: Mapping[str, Pairs] | None = None,
        gallery: int = 0,
    ):
        self.pairs, self.fars = None if pairs is None else pairs.arrays(), fars
        self.further = {name: each.arrays() for name, each in (further or {}).items()}
        self.gallery = gallery
        self.rows: list[Mapping[str, np.ndarray]] = []

    def add(self, outputs: Mapping[str, np.ndarray]) -> None:
        self.rows.append({name: np.asarray(rows) for name, rows in outputs.items()})

    def gathered(self) -> dict[str, np.ndarray]:
        """All rows, each name's in one array."""
        return {name: np.concatenate([row[name] for row in self.rows]) for name in self.rows[0]}

    def result(self) -> dict[str, float]:
        if not self.rows:
            return {}
        rows = self.gathered()
        result = {"embedding_spread": spread(rows["embedding"])}
        if self.pairs is not None:
            result |= self._scored(rows, self.pairs)
        for name, pairs in self.further.items():
            result |= {f"{name}/{key}": x for key, x in self._scored(rows, pairs).items()}
        if self.gallery:
            ranks = split_ranks(rows["embedding"], rows["label"], rows["index"], self.gallery)
            people = len(np.unique(rows["label"]))
            curve = cumulative_matches(ranks, max(RANKS))
            result |= {f"rank/{k}": float(curve[k - 1]) for k in RANKS if k < people}
        return result

    def _scored(self, rows: Mapping[str, np.ndarray], pairs: Pairs) -> dict[str, float]:
        there, lost = placed(pairs, rows["index"])
        counts = {"pairs/lost": float(lost)}
        if len(np.unique(there.fold)) < 2 or len(np.unique(there.same)) < 2:
            return counts
        scores = similarities(rows["embedding"], there)
        return verification_scores(scores, there, self.fars) | counts


def placed(pairs: Pairs, index: np.ndarray) -> tuple[Pairs, int]:
    """Pairs of positions in a split as pairs of rows, `index` the position of each; how many lack one."""
    named = (index, pairs.left, pairs.right)
    place = np.full(1 + max(int(array.max(initial=0)) for array in named), -1)
    place[index] = np.arange(len(index))
    left, right = place[pairs.left], place[pairs.right]
    there = (left >= 0) & (right >= 0)
    kept = Pairs(left[there], right[there], pairs.same[there], pairs.fold[there])
    return kept, int((~there).sum())


def split_ranks(vectors: np.ndarray, label: np.ndarray, index: np.ndarray, gallery: int) -> np.ndarray:  # fmt: skip
    """`matches` of all but the first `gallery` pictures a person, by `index`, among those first."""
    order = np.argsort(index, kind="stable")
    vectors, label = vectors[order], label[order]
    number = np.array([np.sum(label[:row] == one) for row, one in enumerate(label)], int)
    first = number < gallery
    return matches(vectors[~first], vectors[first], label[~first], label[first])
