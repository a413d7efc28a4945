"""Table, figures and sentences of the study of faces."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jresnet.experiment import Experiment, Result
from jresnet.report.conclusion import Conclusion
from jresnet.report.html import Section, Table, Text
from jresnet.report.lines import Line, line_panels
from jresnet.studies.conclusion import by_net, conclude_study, picture
from jresnet.studies.recognition.figures import BASELINE, cosine_figure, pair_gallery, roc_figure
from jresnet.studies.recognition.measure import (
    Vectors,
    confusing,
    pixels_of,
    read_vectors,
    told,
)
from jresnet.tasks.verification import Pairs, best_threshold, roc

logger = logging.getLogger(__name__)

HEADERS = ("method", "parameters", "accuracy (%)", "ROC area")
SHOWN = 6  # pairs in a gallery
FEWEST = 10  # pairs of two people that a rate must allow to be worth a column
STRANGERS = "Nobody in the test is among those trained on. "
UNKNOWN = "Whom the pairs show, and whether they are trained on, their files do not say. "
AFTER = (
    "Accuracy is LFW's: each fold by the threshold that "
    "is best on all others; ± is the deviation over folds, with several seeds over seeds. TAR is the "
    "share of pairs of one person that are accepted where at most so many pairs of two are; behind a "
    "rate of 1 % stand {wrong} of {different} pairs, behind lower ones as many as their columns tell. "
    "{flip} Raw pixels: cosines of the test pictures themselves, each less its mean."
)
FLIPPED = "An embedding is the sum of those of a picture and of its mirror image."
UNFLIPPED = "An embedding is that of a picture alone, without its mirror image."
RANKED = (
    " Rank 1: of the test people {gallery} each {are} in the gallery; the share of the other pictures "
    "whose nearest there shows the same person."
)
CONFUSING = (
    "Cosines are by {}, of the first seed. Its threshold for all pairs together is {:.2f}: at or above "
    "it two pictures are taken for one person."
)
CONSENT = (
    "Faces are personal data: train on and compare those of people who consented, where it is lawful. "
    "Errors differ between groups of people, and a rate over these pairs says nothing of a group that "
    "is rare among them."
)


@dataclasses.dataclass(frozen=True)
class Facts:
    """Facts for the report beside the runs' results.

    - faces: name of the set.
    - pairs: those that accuracy is of.
    - further: more sets of pairs, by their names.
    - loss: in words.
    - gallery: pictures a test person in the gallery; 0 for none.
    - strangers: whether it is known that nobody in the test is trained on.
    - flip: whether the embeddings of mirror images are added.
    """

    faces: str
    pairs: Pairs
    further: Mapping[str, Pairs]
    loss: str
    gallery: int = 0
    strangers: bool = True
    flip: bool = True

    @property
    def different(self) -> int:
        """Pairs of two people."""
        return int((~self.pairs.same).sum())

    def behind(self, far: float) -> int:
        """Pairs of two people that may be accepted at a rate of false accepts."""
        return int(far * self.different + 1e-9)

    @property
    def fars(self) -> tuple[float, ...]:
        """Rates of false accepts that the pairs can measure, 1 % at least."""
        rates = (1e-2, 1e-3, 1e-4, 1e-5)
        return rates[:1] + tuple(far for far in rates[1:] if far * self.different >= FEWEST)


def conclude(
    runs: Mapping[str, Experiment],
    facts: Facts,
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Draw, write the report; the trainings are called NET-seedN. Without `runs` it has no faces."""
    nets = by_net(results)
    lines = told(list(results.values()))
    for line in lines:
        logger.warning("%s", line)
    tests = {net: [results[i].metrics["test"] for i in labels] for net, labels in nets.items()}
    vectors = {net: read_vectors(results[labels[0]].folder) for net, labels in nets.items()}
    first = next(iter(runs.values()), None)
    if first is not None and (pixels := pixels_of(first)) is not None:
        vectors = {BASELINE: pixels, **vectors}
        tests = {BASELINE: [scores_of(pixels, first)], **tests}
    parameters = {net: f"{results[i[0]].parameters:,}" for net, i in nets.items()}
    seconds = {net: sum(results[label].seconds for label in i) for net, i in nets.items()}
    items: list[Any] = [Text([f"Stuck? {line}"]) for line in lines]
    items.append(table(facts, tests, parameters, seconds))
    if facts.further:
        items.append(further(facts, tests))
    sections = [Section("Result", items)]
    sections += drawn(facts, folder, vectors, None if first is None else first.data)
    sections.append(Section("Consent and bias", [Text([CONSENT])]))
    summary = statement(facts, tests)
    return conclude_study(folder, "Faces of strangers", summary, sections, provenance)


def scores_of(vectors: Vectors, experiment: Experiment) -> dict[str, float]:
    """The test metrics of vectors that no net gave."""
    task: Any = experiment.task
    collector = task.collector()
    collector.add({"embedding": vectors.vectors, "label": vectors.label, "index": vectors.index})
    return collector.result()


def table(
    facts: Facts,
    tests: Mapping[str, Sequence[Mapping[str, float]]],
    parameters: Mapping[str, str],
    seconds: Mapping[str, float],
) -> Table:
    """A line for raw pixels and each net."""
    ranks = ("rank/1",) if facts.gallery else ()
    headers = (
        *HEADERS,
        *(f"TAR at FAR {100 * far:g} % (%{behind(facts, far)})" for far in facts.fars),
        *("rank 1 (%)" for _ in ranks),
        "seconds",
    )
    rows = []
    for name, each in tests.items():
        columns = [mean(each, f"tar/{far:g}") for far in facts.fars]
        columns += [mean(each, rank) for rank in ranks]
        area = np.mean([test.get("auc", np.nan) for test in each])
        took = f"{seconds[name]:.0f}" if name in seconds else None
        rows.append((name, parameters.get(name), accuracy(each), f"{area:.3f}", *columns, took))
    words = STRANGERS if facts.strangers else UNKNOWN
    words += AFTER.format(
        wrong=facts.behind(1e-2),
        different=facts.different,
        flip=FLIPPED if facts.flip else UNFLIPPED,
    )
    if facts.gallery:
        few = facts.gallery == 1
        words += RANKED.format(
            gallery="one picture" if few else f"{facts.gallery} pictures",
            are="is" if few else "are",
        )
    return Table(headers, rows, words)


def behind(facts: Facts, far: float) -> str:
    """How many pairs stand behind a rate below 1 %, for its column's head."""
    return "" if far >= 1e-2 else f"; {facts.behind(far)} of {facts.different} pairs"


def further(facts: Facts, tests: Mapping[str, Sequence[Mapping[str, float]]]) -> Table:
    """Accuracies on more sets of pairs, a column each."""
    rows = [
        (net, *(accuracy([under(name, test) for test in each]) for name in facts.further))
        for net, each in tests.items()
    ]
    headers = ("method", *(f"accuracy on {name} (%)" for name in facts.further))
    return Table(headers, rows)


def drawn(facts: Facts, folder: Path, vectors: Mapping[str, Vectors], data: Any) -> list[Section]:
    """The ROC, the cosines, the CMC, and from `data` the confusing pairs of the first net."""
    scored = {net: each.scored(facts.pairs) for net, each in vectors.items()}
    cosines = {net: (scores, facts.pairs.same[rows]) for net, (scores, rows) in scored.items()}
    kinds = [{True, False} <= set(same.tolist()) for _, same in cosines.values()]
    if not all(kinds):  # as of made-up data
        return []
    curves = {net: roc(*each) for net, each in cosines.items()}
    thresholds = {net: best_threshold(*each) for net, each in cosines.items()}
    of_nets = {net: each for net, each in cosines.items() if net != BASELINE}
    items: list[Any] = [
        picture(
            roc_figure(curves), folder / "roc.png",
            "Pairs of one person that are accepted against those of two, as the threshold falls; of the first seed.",
        ),
        picture(
            cosine_figure(of_nets, thresholds), folder / "cosines.png",
            "Cosines of the test pairs; dotted the threshold that is best for all of them together.",
        ),
    ]  # fmt: skip
    if facts.gallery:
        lines = {}
        for net, each in vectors.items():
            curve = each.curve(facts.gallery)
            ranks = np.arange(1, len(curve) + 1)
            lines[net] = Line(ranks.tolist(), (100 * curve).tolist(), dashed=net == BASELINE)
        drawing = line_panels({"": lines}, "rank", "right person among the nearest (%)")
        words = "Closed-set identification: how far down the list of people the right one stands."
        items.append(picture(drawing, folder / "cmc.png", words))
    curves_of = [Section("Curves", items)]
    if data is None:
        return curves_of
    net = next(iter(of_nets))
    scores, rows = scored[net]
    two, one = confusing(scores, facts.pairs.same[rows], SHOWN)
    kept = facts.pairs.kept(rows)
    galleries = [
        pair_gallery(title, chosen.tolist(), scores, kept, data, folder / "pairs" / stem)
        for title, chosen, stem in (
            ("Two people: the nearest pairs", two, "two"),
            ("One person: the farthest pairs", one, "one"),
        )
    ]
    words = CONFUSING.format(net, thresholds[net])
    return [
        Section("Pairs that are hard to tell", [Text([words]), *galleries]),
        *curves_of,
    ]


def accuracy(tests: Sequence[Mapping[str, float]]) -> str:
    """Per cent; ± over folds for one run, over seeds for several."""
    if len(tests) == 1 and "accuracy" in tests[0]:
        return f"{100 * tests[0]['accuracy']:.1f} ± {100 * tests[0]['accuracy_spread']:.1f}"
    return mean(tests, "accuracy")


def mean(tests: Sequence[Mapping[str, float]], name: str) -> str:
    """A share in per cent, with its deviation over runs."""
    values = 100 * np.array([test.get(name, np.nan) for test in tests])
    spread = f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else ""
    return f"{values.mean():.1f}{spread}"


def under(prefix: str, test: Mapping[str, float]) -> dict[str, float]:
    """The metrics below a name, without it."""
    start = f"{prefix}/"
    return {name.removeprefix(start): x for name, x in test.items() if name.startswith(start)}


def statement(facts: Facts, tests: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """The accuracy of each method, in a sentence."""
    parts = [
        f"{name} {100 * np.mean([test.get('accuracy', np.nan) for test in each]):.1f} %"
        for name, each in tests.items()
    ]
    never = ", people never seen in training" if facts.strangers else ""
    return (
        f"Whether two pictures of {facts.faces} show one person{never}: "
        f"{', '.join(parts)} right, trained with {facts.loss}."
    )
