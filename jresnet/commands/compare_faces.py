"""`predict` of a net for faces: two pictures compared, or pictures looked for in a gallery."""

import dataclasses
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jresnet.commands.files import find_images, read
from jresnet.commands.predict_pictures import batched
from jresnet.commands.results import Results
from jresnet.commands.table import Table
from jresnet.commands.trained import Trained, load_task
from jresnet.data.alignment import Face, tell_unaligned
from jresnet.data.broken import ExampleError
from jresnet.data.decoders import DecodeError
from jresnet.data.info import Info
from jresnet.data.normalisation import Normalize
from jresnet.data.sources.files import is_folder, list_folder
from jresnet.data.sources.landmarks import Landmarks
from jresnet.errors import UsageError
from jresnet.models.heads.embedding import Embedder
from jresnet.report.drawing import as_rgb, enlarged, side_by_side
from jresnet.run.folder import read_result
from jresnet.tasks.case import Column, Prediction
from jresnet.tasks.recognise import Recognise
from jresnet.text import shown
from jresnet.weights.nets import Loaded, Net
from jresnet.weights.recorded import Recorded

BATCH = 32
BEST = 5  # people of a gallery that are shown
RECOGNISE = "jresnet.tasks.recognise:Recognise"
FACES = "jresnet.models.zoo.faces"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """From which cosine on two pictures are taken for one person's.

    - threshold: the cosine; None if nobody stated one.
    - far: share of pairs of two people that are at or above it in the run's test; None if that was
      not measured.
    - measured: pairs of two people behind that share.
    """

    threshold: float | None = None
    far: float | None = None
    measured: int = 0

    def words(self, cosine: float) -> str:
        """`same person`, `different people`, or nothing without a threshold."""
        if self.threshold is None:
            return ""
        return "same person" if cosine >= self.threshold else "different people"

    def told(self) -> str:
        """The threshold and its FAR in a line."""
        if self.threshold is None:
            return (
                "no verdict: give --threshold, a cosine from -1 to 1, measured on pairs like yours"
            )
        line = f"threshold {self.threshold:.3f}"
        if self.far is None:
            return f"{line}: its rate of false accepts (FAR) is not known"
        return (
            f"{line}: in the run's test {100 * self.far:.2g} % of {self.measured} pairs of two "
            "people are at or above it (FAR)"
        )


def compares_faces(net: Net, recorded: Recorded | None) -> bool:
    """Whether a net of the zoo, or a run, gives embeddings of faces."""
    if recorded is None:
        return getattr(net.build, "__module__", "") == FACES
    task = recorded.parts.get("task")
    return isinstance(task, dict) and task.get("new") == RECOGNISE


def of_run(recorded: Recorded) -> Trained:
    """The net of a run. Raises UsageError as `load_task` does."""
    built, variables = load_task(recorded)
    info = Info(recorded.folder.name, class_of=None)
    transform = recorded.transform()
    if not isinstance(transform, Face):  # a run on made-up pictures
        *size, channels = recorded.image
        transform = Face(tuple(size), channels)  # type: ignore[arg-type]
    return Trained(built, variables, transform, info)  # type: ignore[arg-type]


def of_file(net: Net, loaded: Loaded) -> Trained:
    """A published net, whose pictures are treated as insightface's code does: pixels in [-1, 1]."""
    channels, model = loaded.channels, loaded.model
    assert isinstance(model, Embedder)
    task: Any = Recognise(model, Normalize((0.5,) * channels, (0.5,) * channels), 1)
    face = Face(net.image[:2], channels)  # type: ignore[arg-type]
    return Trained(task, loaded.variables, face, Info(net.name, class_of=None))


def verdict_of(recorded: Recorded | None, threshold: float | None, far: float | None) -> Verdict:
    """The threshold that the flags or the run's test state. Raises UsageError."""
    if far is not None and threshold is not None:
        raise UsageError(f"far={far:g}: expected none with threshold={threshold:g}")
    path = None if recorded is None else recorded.folder / "result.json"
    test: Mapping[str, float] = {}
    if path is not None and path.exists():
        test = read_result(path)["metrics"].get("test", {})
    pairs = int(test.get("pairs/different", 0))
    if far is not None:
        name = f"threshold/{far:g}"
        if name not in test:
            known = [key.partition("/")[2] for key in test if key.startswith("threshold/")]
            words = f"one of {', '.join(known)}, as the run measured" if known else "a run's folder"
            raise UsageError(f"far={far:g}: expected {words}")
        return Verdict(test[name], test[f"false_accepts/{far:g}"] / pairs, pairs)
    if threshold is not None:
        return Verdict(threshold)
    if "threshold" not in test or "far" not in test:
        return Verdict()
    return Verdict(test["threshold"], test["far"], pairs)


def compare_faces(
    paths: Sequence[Path],
    gallery: Path | None,
    trained: Trained,
    verdict: Verdict,
    results: Results | None,
    landmarks: Landmarks | None = None,
) -> int:
    """Print similarities and verdicts; 1 if there is a picture that cannot be read.

    Without `gallery` there are two pictures. In a gallery each folder is a person, whose nearest
    picture counts, and each loose picture is one. Pictures that have `landmarks` are aligned.
    Raises UsageError.
    """
    if gallery is None and len(paths) != 2:
        raise UsageError(f"images={len(paths)}: expected two pictures to compare, or --gallery too")
    if gallery is None:
        probes, known = [paths[0]], {str(paths[1]): [paths[1]]}
    else:
        probes, known = list(paths), people_of(gallery)
    embed = Embedding(trained, landmarks)
    table = Table(
        (
            Column("compared with", tuple(known), right=False),
            Column("similarity", ("-0.000",), right=True),
            Column("verdict", ("different people",)),
        ),
        probes,
    )
    pictures = [path for files in known.values() for path in files]
    embed.tell_unaligned({*pictures, *probes})
    everyone = embed.directions(pictures)
    table.heading()
    for number, path in enumerate(probes, 1):
        probe = embed.directions([path]).get(path)
        if probe is None:
            embed.skip(results)
            continue
        ranked = sorted(
            (
                (float(max(everyone[file] @ probe for file in files if file in everyone)), name)
                for name, files in known.items()
                if any(file in everyone for file in files)
            ),
            reverse=True,
        )[:BEST]
        prediction = told(ranked, verdict)
        table.add(path, prediction.rows)
        if results is not None:
            nearest = [
                max((f for f in known[name] if f in everyone), key=lambda f: everyone[f] @ probe)
                for _, name in ranked
            ]
            shown_ones = [enlarged(as_rgb(embed.pixels(file)), 128) for file in (path, *nearest)]
            drawn = dataclasses.replace(prediction, drawing=side_by_side(shown_ones))
            results.add(number, path, drawn)
    print(verdict.told())
    embed.skip(results)
    if results is not None:
        results.write()
    return 1 if embed.skipped else 0


def told(ranked: Sequence[tuple[float, str]], verdict: Verdict) -> Prediction:
    """One picture's result, not drawn."""
    rows = [(name, f"{cosine:.3f}", verdict.words(cosine)) for cosine, name in ranked]
    record = {
        "threshold": verdict.threshold,
        "far": verdict.far,
        "nearest": [
            {"with": name, "similarity": cosine, "verdict": verdict.words(cosine) or None}
            for cosine, name in ranked
        ],
    }
    return Prediction(rows, record)


def people_of(gallery: Path) -> dict[str, list[Path]]:
    """The pictures of each person of a gallery. Raises UsageError for one without pictures."""
    if not gallery.is_dir():
        raise UsageError(f"gallery={shown(gallery)}: expected a folder")
    people: dict[str, list[Path]] = {}
    for entry in sorted(list_folder(gallery), key=lambda entry: entry.name):
        place = gallery / entry.name
        files = list(find_images([place])) if is_folder(entry) else [place]
        files = [file for file in files if file.is_file()]
        if files:
            people[entry.name if is_folder(entry) else str(place)] = files
    if not people:
        raise UsageError(f"gallery={shown(gallery)}: expected pictures, or folders of them")
    return people


class Embedding:
    """Pictures to directions, and what could not be read."""

    def __init__(self, trained: Trained, landmarks: Landmarks | None = None):
        self.trained, self.predict = trained, trained.predict()
        self.landmarks = landmarks or Landmarks({})
        self.skipped: dict[Path, str] = {}
        self.unsaid: list[Path] = []

    def directions(self, paths: Sequence[Path]) -> dict[Path, np.ndarray]:
        """A vector of length 1 for each picture that can be read."""
        vectors: dict[Path, np.ndarray] = {}
        size = min(BATCH, len(paths))
        for start in range(0, len(paths), BATCH):
            rows: dict[Path, dict[str, Any]] = {}
            for path in paths[start : start + BATCH]:
                try:
                    rows[path] = {"image": self.pixels(path), "label": np.int32(0)}
                except (DecodeError, ExampleError, OSError) as error:
                    if path not in self.skipped:
                        self.unsaid.append(path)
                    self.skipped[path] = str(error)
            if rows:
                directions = self.predict(batched([*rows.values()], size))["direction"]
                vectors |= zip(rows, directions, strict=False)
        return vectors

    def pixels(self, path: Path) -> np.ndarray:
        """A picture as the net sees it. Raises OSError, DecodeError and ExampleError."""
        points = self._points(path)
        known = {} if points is None else {"landmarks": points}
        arrays, _ = self.trained.prepare(read(path), **known)
        return arrays["image"]

    def tell_unaligned(self, paths: Collection[Path]) -> None:
        """Warn, in one line, of pictures to be compared that are not aligned."""
        if count := sum(self._points(path) is None for path in paths):
            tell_unaligned(count, f"predict {self.trained.info.name}")

    def _points(self, path: Path) -> np.ndarray | None:
        """By the path as it was given, or the folder and the file in it, or the file alone."""
        named = (path.as_posix(), "/".join(path.parts[-2:]))
        return next((p for p in map(self.landmarks.find, named) if p is not None), None)

    def skip(self, results: Results | None) -> None:
        """Name what could not be read, once."""
        for path in self.unsaid:
            print(shown(f"skipped {path}: {self.skipped[path]}"), file=sys.stderr)
            if results is not None:
                results.skip(path, self.skipped[path])
        self.unsaid.clear()
