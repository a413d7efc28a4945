"""Layouts of folders of pictures without labels, and the pictures in them.

A folder holds a folder to train on and one to test on:

- `train`, or any name that begins with it, `DIV2K_train_HR`, `Flickr2K_HR`, `T91` or `BSD200`;
- `test` or `val`, or any name that begins with them, `DIV2K_valid_HR`, `Set5`, `Set14`, `BSD100`,
  `B100`, `Urban100` or `Manga109`.

Pictures lie in these at any depth. Benchmarks also keep reduced ones there: of a folder with `HR`,
`GTmod12` or `original` in it these alone are read, and of files `..._HR.png` and `..._LR.png` the
first. Of the copies `..._SRF_2_HR.png`, `..._SRF_3_HR.png` and so on (Huang et al., CVPR
2015) one is read: that of the smallest factor, of which least was cut off. A file `NAMEx4.png` beside
`NAME.png` is a reduced one too.
"""

import dataclasses
import functools
import logging
import re
from collections.abc import Sequence
from pathlib import Path

from jresnet.data.sources.files import list_folder, walk
from jresnet.errors import UsageError
from jresnet.text import shown

logger = logging.getLogger(__name__)

NAMES = {
    "train": ("train", "div2k_train_hr", "flickr2k_hr", "t91", "bsd200"),
    "test": ("test", "val", "div2k_valid_hr", "set5", "set14", "bsd100", "b100", "urban100", "manga109"),
}  # fmt: skip
LARGE = ("hr", "gtmod12", "original")
_ENDINGS = ("x{}", "_x{}", "_lr{}", "_lr_x{}", "_lrx{}", "_lrbi_x{}", "_srf_{}_lr", "_lr", "")
_COPY = re.compile(r"(.+?)(?:_lr(?:bi)?_?x?|_?x)[2348]", re.IGNORECASE)
_FACTOR = re.compile(r"_SRF_(\d+)", re.IGNORECASE)


def split_of(folder: Path, split: str) -> Path | None:
    """The folder of a split in that of a set. Raises UsageError if there is no such set."""
    if not folder.is_dir():
        raise UsageError(f"dataset={shown(folder)!r}: no such folder")
    return next(iter(_splits(folder, split)), None)


def _splits(folder: Path, split: str) -> list[Path]:
    """The folders of a split, the one that is read first."""
    names = sorted(entry.name for entry in list_folder(folder) if entry.is_dir())
    return [
        folder / name
        for wanted in NAMES[split]
        for name in names
        if name.lower() == wanted
        or (wanted in NAMES[split][:2] and name.lower().startswith(wanted))
    ]


@functools.cache
def tell_others(folder: Path, split: str, read: tuple[Path, ...] = ()) -> None:
    """Warn, once a folder, of pictures that could be a split's too and are left out.

    Folders that are `read` otherwise, as reduced pictures, are none of them.
    """
    first, *others = _splits(folder, split) or [folder]
    others = [path for path in others if path not in read]
    if others:
        verb = {"train": "trained", "test": "tested"}[split]
        logger.warning(
            "dataset=%r: %s on is %s alone; %s left out%s", shown(folder), verb, shown(first.name),
            ", ".join(shown(path.name) for path in others),
            "; --test-pictures FOLDER tests on another" if split == "test" else "",
        )  # fmt: skip


def find_pictures(folder: Path) -> list[Path]:
    """The large pictures below a folder, sorted."""
    inner = {entry.name.lower(): folder / entry.name for entry in list_folder(folder) if entry.is_dir()}  # fmt: skip
    place = next((inner[name] for name in LARGE if name in inner), folder)
    files = sorted(place / name for name in walk(place))
    large = [path for path in files if path.stem.lower().endswith("_hr")]
    chosen = large or [path for path in files if not path.stem.lower().endswith("_lr")]
    known = {path.with_suffix("") for path in chosen}
    copies = {path: _COPY.fullmatch(path.stem) for path in chosen}
    chosen = [
        path for path, copy in copies.items() if not copy or path.with_name(copy[1]) not in known
    ]
    return _without_copies(chosen, place)


def _without_copies(files: list[Path], folder: Path) -> list[Path]:
    """One of the files that differ by their reduction's factor alone: that of the smallest."""
    groups: dict[str, list[tuple[int, Path]]] = {}
    for path in files:
        name = path.relative_to(folder).as_posix()
        factors = _FACTOR.findall(name)
        factor = int(factors[-1]) if factors else 0
        groups.setdefault(_FACTOR.sub("", name), []).append((factor, path))
    return sorted(min(group)[1] for group in groups.values())


@dataclasses.dataclass(frozen=True)
class Reduced:
    """Pictures `scale` times as small as those of a set, in another folder or beside them.

    That of `NAME.png` or `NAME_HR.png` is `NAMEx4.png`, `NAME_LR4.png`, `NAME_LR.png` or `NAME.png`, or
    has another of the usual endings; of several folders, one named `X4` counts.
    """

    folder: Path
    scale: int

    def partners(self, pictures: Sequence[Path]) -> tuple[Path | None, ...]:
        """The reduced picture of each; None where there is none. Raises UsageError for none at all."""
        if not self.folder.is_dir():
            raise UsageError(f"reduced={shown(self.folder)!r}: no such folder")
        names = sorted(walk(self.folder))
        inside = [name for name in names if f"x{self.scale}" in name.lower().split("/")[:-1]]
        files: dict[str, list[Path]] = {}
        for name in inside or names:
            path = self.folder / name
            files.setdefault(path.stem.lower(), []).append(path)
        result = tuple(self._partner(path, files) for path in pictures)
        if not any(result):
            raise UsageError(
                f"reduced={shown(self.folder)!r}: no reduced picture of {shown(pictures[0].name)} or "
                f"another: expected its name, or that with x{self.scale} at its end"
            )
        return result

    def _partner(self, picture: Path, files: dict[str, list[Path]]) -> Path | None:
        stem = _FACTOR.sub("", picture.stem).lower().removesuffix("_hr")
        for ending in _ENDINGS:
            others = files.get(stem + ending.format(self.scale), [])
            others = [path for path in others if path != picture]
            if len(others) > 1:
                raise UsageError(
                    f"reduced={shown(self.folder)!r}: {shown(others[0])} and {shown(others[1])} are "
                    f"both of {shown(picture.name)}: expected one"
                )
            if others:
                return others[0]
        return None
