"""Made-up grey faces of made-up people, which need no download and ask nobody's consent."""

import dataclasses

import numpy as np

from jresnet.data.info import Example, Info

SHAPE = (112, 92, 1)  # that of the ORL database of faces
# The smallest and largest value of each number that a person has, in half heights of a picture.
TRAITS = {
    "width": (0.46, 0.64), "height": (0.66, 0.82), "skin": (130.0, 225.0), "hair": (15.0, 140.0),
    "fringe": (-0.62, -0.3), "eyes": (0.2, 0.3), "eye_line": (-0.2, -0.04), "eye": (0.05, 0.09),
    "brow": (0.09, 0.17), "brow_slope": (-0.35, 0.35), "brow_width": (0.015, 0.045),
    "nose": (0.12, 0.3), "nose_width": (0.04, 0.1), "mouth_line": (0.32, 0.48), "mouth": (0.13, 0.26),
    "lips": (0.02, 0.05), "glasses": (-1.0, 0.6), "beard": (-1.0, 0.5),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class DrawnFaces:
    """`count` people, `pictures` of each; the last `held_out` are the people of "test"."""

    count: int = 40
    pictures: int = 10
    held_out: int = 10

    def info(self) -> Info:
        names = tuple(f"person {number}" for number in range(1, self.count - self.held_out + 1))
        sizes = {
            "train": len(names) * self.pictures,
            "test": self.held_out * self.pictures,
        }
        return Info("drawn faces", len(names), names, SHAPE, sizes)

    def open(self, split: str, encoded: bool = False) -> "DrawnFaceSource":
        """The pictures of a split, person by person; they are never encoded."""
        del encoded
        trained = self.count - self.held_out
        first, people = (0, trained) if split == "train" else (trained, self.held_out)
        labels = np.repeat(np.arange(first, first + people), self.pictures)
        return DrawnFaceSource(labels, self.pictures)


@dataclasses.dataclass(frozen=True)
class DrawnFaceSource:
    """One split. A picture is a function of its person and its number alone."""

    labels: np.ndarray
    pictures: int

    def __len__(self) -> int:
        return len(self.labels)

    def describe(self, index: int) -> str:
        """Such as "person 31, picture 7"."""
        return f"person {self.labels[index] + 1}, picture {index % self.pictures + 1}"

    def __getitem__(self, index: int) -> Example:
        person = int(self.labels[index])
        return {"image": drawn(person, index % self.pictures), "label": person}


def drawn(person: int, picture: int) -> np.ndarray:
    """uint8 `SHAPE`: place, angle, light, gaze and mouth are the picture's, all else the person's."""
    rng = np.random.default_rng((1, person))
    traits = {name: rng.uniform(low, high) for name, (low, high) in TRAITS.items()}
    rng = np.random.default_rng((2, person, picture))
    y, x = (np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5 - np.array(SHAPE[:2])[:, None, None] / 2) / 56
    angle, scale, shift = rng.normal(0, 0.1), rng.uniform(0.9, 1.1), rng.normal(0, 0.06, 2)
    x, y = x - shift[0], y - shift[1]
    x, y = (np.cos(angle) * x - np.sin(angle) * y) / scale, (np.sin(angle) * x + np.cos(angle) * y) / scale  # fmt: skip
    turn = rng.normal(0, 0.05)  # of the head: its parts move aside, its outline does not
    image = np.full(SHAPE[:2], rng.uniform(60, 200))
    _paint(
        image, _oval(x, y + 0.05, traits["width"] + 0.09, traits["height"] + 0.12), traits["hair"]
    )
    _paint(image, _oval(x, y, traits["width"], traits["height"]), traits["skin"])
    fringe = _oval(x, y, traits["width"] + 0.03, traits["height"] + 0.03) * _below(
        y, traits["fringe"]
    )
    _paint(image, fringe, traits["hair"])
    x = x - turn
    if traits["beard"] > 0:
        _paint(
            image, _oval(x, y - 0.5, 0.8 * traits["width"], 0.32), traits["hair"], traits["beard"]
        )
    for side in (-1, 1):
        aside, line = x - side * traits["eyes"], y - traits["eye_line"]
        _paint(
            image,
            _oval(aside, line, 1.5 * traits["eye"], traits["eye"] * rng.uniform(0.5, 1.1)),
            240,
        )
        gaze = 0.5 * traits["eye"] * rng.uniform(-1, 1)
        _paint(image, _oval(aside - gaze, line, 0.6 * traits["eye"], 0.6 * traits["eye"]), 30)
        slope = line + traits["brow"] + side * traits["brow_slope"] * aside
        _paint(image, _oval(aside, slope, 0.15, traits["brow_width"]), traits["hair"])
        if traits["glasses"] > 0:
            rim = _oval(aside, line, 0.19, 0.15) - _oval(aside, line, 0.16, 0.12)
            _paint(image, rim.clip(0), 20)
    nose = y - traits["eye_line"] - traits["nose"]
    _paint(image, _oval(x, nose, traits["nose_width"], 0.04), 0.6 * traits["skin"])
    _paint(
        image,
        _oval(x - 0.02, nose + traits["nose"] / 2, 0.02, traits["nose"] / 2),
        0.8 * traits["skin"],
    )
    bend = rng.uniform(-1.2, 0.4) * x**2
    lips = traits["lips"] * rng.uniform(0.8, 2.2)
    _paint(
        image,
        _oval(x, y - traits["mouth_line"] - bend, traits["mouth"], lips),
        0.45 * traits["skin"],
    )
    light = 1 + rng.normal(0, 0.2) * x + rng.normal(0, 0.12) * y
    image = image * light * rng.uniform(0.8, 1.15) + rng.normal(0, 5, image.shape)
    return image.clip(0, 255).astype(np.uint8)[..., None]


def _oval(x: np.ndarray, y: np.ndarray, width: float, height: float) -> np.ndarray:
    """1 inside of an ellipse about (0, 0), 0 outside, with an edge about a pixel wide."""
    return _below(np.hypot(x / width, y / height), 1, min(width, height))


def _below(values: np.ndarray, limit: float, unit: float = 1.0) -> np.ndarray:
    return (0.5 + 56 * unit * (limit - values) / 1.5).clip(0, 1)


def _paint(image: np.ndarray, cover: np.ndarray, grey: float, strength: float = 1.0) -> None:
    image += strength * cover * (grey - image)
