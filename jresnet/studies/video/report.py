"""Table, figures and sentences of the study of clips."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from jresnet.data.info import Info
from jresnet.data.sources.moving_digits import DIRECTIONS
from jresnet.experiment import Experiment, Result
from jresnet.report import gallery
from jresnet.report.conclusion import Conclusion
from jresnet.report.curves import read_metrics, series
from jresnet.report.html import Gallery, Item, Section, Table, Text
from jresnet.report.lines import Line, line_panels
from jresnet.studies.conclusion import by_net, conclude_study, picture
from jresnet.studies.segmentation.figures import class_bars, confusion_shares
from jresnet.studies.video.measure import counts, predicted
from jresnet.tasks.classify_clips import ClassifyClips

PICTURES = 12  # clips of the test split: the worst, those in the middle and the best
AFTER = (
    "Per cent of the test split after the last step. A video's class has the highest mean probability "
    "over its clips, {}; with several seeds mean and standard deviation."
)
DIGITS = (
    "Digit and direction are those of the class that the net chose. By chance 10 % of the digits are "
    "right and 12.5 % of the directions. Who sees one frame can know no more of the direction, and who "
    "sees frames in a random order is right about half of the directions at most: the line of motion "
    "can be told, and not which way along it."
)
HARDEST = (
    "Clips to which {} gives the least probability of their class, the least first: frames from the "
    "first to the last. It was trained with the first seed."
)


def conclude(
    runs: Mapping[str, Experiment] | None,
    info: Info,
    views: Sequence[int],
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Draw, write the report; the trainings are called NET-seedN.

    Args:
        runs: the trainings, to test the nets again; None to leave that out.
        info: of the videos.
        views: clips of each video, each number measured apart.
        folder: the study's.
        results: of the trainings.
        provenance: for the end of the page.
    """
    nets = by_net(results)
    tests = {net: [results[i].metrics["test"] for i in labels] for net, labels in nets.items()}
    names = [
        key.split("/")[1]
        for key in next(iter(tests.values()))[0]
        if key.startswith("video_accuracy/")
    ]
    tables = [table(nets, results, names)]
    if runs is not None and [count for count in views if count != 1]:
        tables.append(of_views(runs, nets, results, views))
    sections = [*hardest(nets, results), Section("Result", tables)]
    if names:
        sections.append(drawn_parts(runs, nets, results, names, folder))
    curves = {net: curve(results[labels[0]].folder) for net, labels in nets.items()}
    if all(len(line.x) for line in curves.values()):
        drawn = line_panels({"": curves}, "steps", "videos of the right class (%)", columns=2)
        words = "Test videos while the nets train, of the first seed."
        sections.append(Section("Training", [picture(drawn, folder / "accuracy.png", words)]))
    summary = statement(info, tests, names)
    return conclude_study(folder, f"Clips of {info.name}", summary, sections, provenance)


def table(
    nets: Mapping[str, Sequence[str]], results: Mapping[str, Result], names: Sequence[str]
) -> Table:
    """A line a net: accuracies of videos and of clips, named apart, and of the parts of a class."""
    headers = (
        "net", "parameters", *(f"{name} (%)" for name in names),
        "both, video accuracy (%)" if names else "video accuracy (%)", "clip accuracy (%)", "seconds",
    )  # fmt: skip
    rows: list[tuple[object, ...]] = []
    for net, labels in nets.items():
        each = [results[label].metrics["test"] for label in labels]
        columns = [*(f"video_accuracy/{name}" for name in names), "video_accuracy", "clip_accuracy"]
        rows.append(
            (
                net,
                f"{results[labels[0]].parameters:,}",
                *(percent([test[name] for test in each]) for name in columns),
                f"{sum(results[label].seconds for label in labels):.0f}",
            )
        )
    first = results[next(iter(results))].metrics["test"]
    seen = "of which there is one here" if first["views"] == 1 else f"here {first['views']:.3g}"
    after = AFTER.format(seen)
    return Table(headers, rows, f"{after} {DIGITS}" if names else after)


def percent(values: Sequence[float]) -> str:
    """Mean and, of several, standard deviation of shares, in per cent."""
    shares = 100 * np.asarray(values)
    spread = f" ± {shares.std(ddof=1):.1f}" if len(shares) > 1 else ""
    return f"{shares.mean():.1f}{spread}"


def of_views(
    runs: Mapping[str, Experiment],
    nets: Mapping[str, Sequence[str]],
    results: Mapping[str, Result],
    views: Sequence[int],
) -> Table:
    """The first training of each net by so many clips of each video."""
    rows: list[tuple[object, ...]] = []
    for net, labels in nets.items():
        for count in views:
            test = predicted(runs[labels[0]], results[labels[0]], count).metrics
            share = percent([test["video_accuracy"]]), percent([test["clip_accuracy"]])
            rows.append((net, count, *share))
    words = (
        "Views are the clips of each test video: 1 in the middle, 10 evenly from its start to its end, "
        "30 with three parts of each of the 10 along the longer side. Video accuracy is that of their "
        "mean probability, clip accuracy that of each. Of the first seed."
    )
    return Table(("net", "views", "video accuracy (%)", "clip accuracy (%)"), rows, words)


def hardest(nets: Mapping[str, Sequence[str]], results: Mapping[str, Result]) -> list[Section]:
    """Strips of the frames of the clips that the first net is most wrong about, if it drew any."""
    net, labels = next(iter(nets.items()))
    section = gallery.section(results[labels[0]].folder)
    galleries = [item for item in section.items if isinstance(item, Gallery)] if section else []
    if not galleries:
        return []
    strips = dataclasses.replace(galleries[0], title="Frames from first to last", large=True)
    return [Section("The hardest clips", [Text([HARDEST.format(net)]), strips])]


def drawn_parts(
    runs: Mapping[str, Experiment] | None,
    nets: Mapping[str, Sequence[str]],
    results: Mapping[str, Result],
    names: Sequence[str],
    folder: Path,
) -> Section:
    """Bars of what each net is right about, and each net's directions by the true ones."""
    scores = {}
    for net, labels in nets.items():
        test = results[labels[0]].metrics["test"]
        shares = {name: test[f"video_accuracy/{name}"] for name in names}
        scores[net] = {**shares, "both": test["video_accuracy"]}
    bars = class_bars(scores, None, "share of the test videos that are right")
    words = "Videos whose digit, direction and both are right, of the first seed."
    items: list[Item] = [picture(bars, folder / "parts.png", words)]
    for number, (net, labels) in enumerate(nets.items() if runs is not None else (), 1):
        experiment = runs[labels[0]]  # type: ignore[index]
        assert isinstance(experiment.task, ClassifyClips)
        answers = dict(experiment.task.parts)["direction"]
        true, chosen, _ = predicted(experiment, results[labels[0]])
        shares = confusion_shares(counts(true, chosen, answers), list(DIRECTIONS))
        words = f"{net}: each row is a true direction, in per cent by the direction that it chose."
        items.append(picture(shares, folder / f"directions-{number}.png", words))
    return Section("Digits and directions", items)


def curve(folder: Path) -> Line:
    """Video accuracy of the test split in per cent against steps."""
    steps, values = series(read_metrics(folder), "test", "video_accuracy")
    return Line(steps.tolist(), (100 * values).tolist())


def statement(
    info: Info, tests: Mapping[str, Sequence[Mapping[str, float]]], names: Sequence[str]
) -> str:
    """The share of videos that each net is right about, in a sentence."""
    told = []
    for net, each in tests.items():
        shares = [
            f"{name} {percent([t[f'video_accuracy/{name}'] for t in each])} %" for name in names
        ]
        both = f"{'both' if names else 'videos'} {percent([t['video_accuracy'] for t in each])} %"
        told.append(f"{net}: {', '.join([*shares, both])}")
    return f"Test videos of {info.name} that are right. {'; '.join(told)}."
