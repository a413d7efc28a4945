"""The folder of `predict --out`: drawings, results that are pictures, and one JSON of all files."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from jresnet.storage import named, write_json
from jresnet.tasks.case import Prediction

JSON = "predictions.json"
_LONGEST = 60  # characters of a file's name in that of its drawing


class Results:
    """Writes predictions into `folder`, which is new or empty.

    Names begin with the file's number among those given, so that none is taken twice.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any], files: int):
        folder.mkdir(exist_ok=True)
        self.folder, self.about = folder, about
        self.digits = len(str(files))
        self.files: dict[str, Any] = {}
        self.skipped: dict[str, str] = {}

    def add(self, number: int, path: Path, prediction: Prediction) -> None:
        """Write the pictures of the file that is the `number`-th of those given. Raises OSError."""
        if str(path) in self.files:  # given twice
            return
        stem = f"{number:0{self.digits}}-{_plain(path.stem)}"
        entry = dict(prediction.record)
        if prediction.drawing is not None:
            entry["drawing"] = self._save(stem, prediction.drawing)
        if prediction.images:
            entry["images"] = {
                name: self._save(f"{stem}-{_plain(name)}", pixels)
                for name, pixels in prediction.images.items()
            }
        self.files[str(path)] = entry

    def skip(self, path: Path, reason: str) -> None:
        """Note a file that could not be read."""
        self.skipped[str(path)] = reason

    def write(self) -> Path:
        """Write the JSON. Raises OSError."""
        path = self.folder / JSON
        write_json(path, {**self.about, "files": self.files, "skipped": self.skipped})
        return path

    def _save(self, stem: str, pixels: np.ndarray) -> str:
        name = f"{stem}.png"
        path = self.folder / name
        if pixels.ndim == 3 and pixels.shape[-1] == 1:
            pixels = pixels[..., 0]
        # "x": a file that someone else has put there meanwhile stays.
        with named(path), path.open("xb") as file:
            Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG")
        return name


def _plain(name: str) -> str:
    """A name that every file system takes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name)[:_LONGEST].strip(".") or "_"
