"""The folder of `predict --out`: drawings, results that are pictures, and one JSON of all files."""

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from jresnet.data.sources.volume_files import is_volume, stem
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
        self.joined: dict[str, list[Any]] = {}

    def add(self, number: int, path: Path, prediction: Prediction) -> None:
        """Write the pictures of the file that is the `number`-th of those given. Raises OSError."""
        if str(path) in self.files:  # given twice
            return
        name = stem(path.name) if is_volume(path.name) else path.stem
        start = f"{number:0{self.digits}}-{_plain(name)}"
        entry = dict(prediction.record)
        if prediction.drawing is not None:
            entry["drawing"] = self._save(start, prediction.drawing)
        if prediction.images:
            entry["images"] = {
                title: self._save(f"{start}-{_plain(title)}", pixels)
                for title, pixels in prediction.images.items()
            }
        if prediction.files:
            entry["written"] = {
                ending: self._write(f"{start}.{ending}", content)
                for ending, content in prediction.files.items()
            }
        for title, entries in prediction.joined.items():
            self.joined.setdefault(title, []).extend(entries)
        self.files[str(path)] = entry

    def skip(self, path: Path, reason: str) -> None:
        """Note a file that could not be read."""
        self.skipped[str(path)] = reason

    def write(self) -> Path:
        """Write the JSON, and each file that holds the results of all. Raises OSError."""
        for title, entries in self.joined.items():
            write_json(self.folder / f"{_plain(title)}.json", entries)
        path = self.folder / JSON
        write_json(path, {**self.about, "files": self.files, "skipped": self.skipped})
        return path

    def _save(self, stem: str, pixels: np.ndarray) -> str:
        if pixels.ndim == 3 and pixels.shape[-1] == 1:
            pixels = pixels[..., 0]
        stream = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(pixels)).save(stream, "PNG")
        return self._write(f"{stem}.png", stream.getvalue())

    def _write(self, name: str, content: bytes) -> str:
        path = self.folder / name
        # "x": a file that someone else has put there meanwhile stays.
        with named(path), path.open("xb") as file:
            file.write(content)
        return name


def _plain(name: str) -> str:
    """A name that every file system takes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name)[:_LONGEST].strip(".") or "_"
