"""Checkpoints broken in every way that a disk, a copy or a person breaks them."""

import collections
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.ends import assert_same_end
from tests.injected import SMALL, started

Damage = Callable[[Path], None]


def all_names(folder: Path, step: int) -> list[str]:
    """Every file of a checkpoint, and its folders: names within it."""
    whole = folder / str(step)
    return [*sorted(str(path.relative_to(whole)) for path in whole.rglob("*")), "."]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def deleted(path: Path) -> None:
    path.unlink()


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def nonsense(path: Path) -> None:
    path.write_bytes(b"\xff\x00{" * 99)


def folder_deleted(path: Path) -> None:
    shutil.rmtree(path)


def folder_emptied(path: Path) -> None:
    shutil.rmtree(path)
    path.mkdir()


def a_file(path: Path) -> None:
    shutil.rmtree(path)
    path.write_text("in the way")


OF_FILES: tuple[Damage, ...] = (cut, emptied, deleted, a_folder, nonsense)
OF_FOLDERS: tuple[Damage, ...] = (folder_deleted, folder_emptied, a_file)


def break_checkpoints(
    scratch: Path, only: str | None = None
) -> tuple[collections.Counter[str], list[str]]:
    """Each file and folder of a run's newest checkpoint, broken in each way; then all checkpoints.

    The same command must end as the undisturbed run did, with one line on what was set aside. Returns
    how many were broken in which way, and what went wrong. `only` takes one name.
    """
    counts: collections.Counter[str] = collections.Counter()
    wrong: list[str] = []
    with started(scratch) as runs:
        whole, broken = scratch / "undisturbed", scratch / "broken"
        assert runs.run(whole).status == 0
        last = int(SMALL[1])
        for name in all_names(whole / "whole" / "checkpoints", last):
            of_file = (whole / "whole" / "checkpoints" / str(last) / name).is_file()
            for damage in OF_FILES if of_file else OF_FOLDERS:
                if only not in (None, name):
                    continue
                shutil.rmtree(broken, ignore_errors=True)
                shutil.copytree(whole, broken)
                # As if the run had been killed right after its last save.
                (broken / "conclusion.json").unlink()
                (broken / "whole" / "result.json").unlink()
                checkpoints = broken / "whole" / "checkpoints"
                damage(checkpoints / str(last) / name)
                if name == "." and damage is OF_FOLDERS[1]:  # and then all of them
                    for other in checkpoints.iterdir():
                        shutil.rmtree(other / "state", ignore_errors=True)
                counts[damage.__name__.replace("_", " ")] += 1
                try:
                    again = runs.run(broken)
                    assert again.status == 0, again.err
                    aside = list(checkpoints.glob("*.aside-1"))
                    assert again.err.count("\n") == len(aside), again.err
                    assert all(
                        line.startswith("WARNING: checkpoint ") for line in again.err.splitlines()
                    )
                    assert all(f"renamed to {path}" in again.err for path in aside), again.err
                    assert_same_end(whole, broken)
                except AssertionError as error:
                    wrong.append(f"{name} {damage.__name__}: {error}")
                    print(wrong[-1], flush=True)
    return counts, wrong
