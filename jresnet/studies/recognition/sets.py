"""The faces that nets are trained and tested on, out of folders, tar shards and files of pairs."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from jresnet.data.alignment import tell_unaligned
from jresnet.data.info import Dataset
from jresnet.data.sources.drawn_faces import DrawnFaces
from jresnet.data.sources.landmarks import LandmarkedSource
from jresnet.data.sources.people import People
from jresnet.data.sources.shards import Shards
from jresnet.data.sources.two_sets import TwoSets
from jresnet.errors import UsageError
from jresnet.recipes.recognition import pairs_of
from jresnet.tasks.verification import Pairs
from jresnet.text import shown
from jresnet.weights.pair_pictures import PairPictures


@dataclasses.dataclass(frozen=True)
class Faces:
    """Faces, and the pairs of their test split.

    - pairs: the pairs that `accuracy` is of.
    - further: those of more files, by their names.
    - named: whether it is known whom a test picture shows.
    """

    dataset: Dataset
    pairs: Pairs
    further: Mapping[str, Pairs]
    named: bool = True


def find_faces(
    dataset: Path | None = None,
    test_people: Path | None = None,
    files: tuple[Path, ...] = (),
    held_out: int = 10,
    aligned: bool = False,
    landmarks: Path | None = None,
) -> Faces:
    """The sets that the arguments of `experiments.recognize` name.

    Args:
        dataset: folder of people, or of tar shards; None for made-up faces.
        test_people: another folder of people to test on.
        files: of pairs: `.bin` files, or one table of names in the test split. None draws pairs.
        held_out: people of `dataset` that are tested on, where there is nothing else to test on.
        aligned: whether the pictures are aligned; if not, a line says what follows.
        landmarks: table of five points a picture, by which those of folders are aligned.

    Raises UsageError.
    """
    pickled = tuple(path for path in files if path.suffix.lower() == ".bin")
    if len(files) > max(1, len(pickled)) or len(pickled) not in (0, len(files)):
        raise UsageError(f"pairs={len(files)} files: expected any number of .bin, or one table")
    if pickled and test_people is not None:
        raise UsageError(
            f"test_people={test_people}: expected none, {pickled[0].name} has pictures"
        )
    tested: Dataset | None = None
    if pickled:
        tested = PairPictures(pickled)
    elif test_people is not None:
        tested = People(test_people, whole="test", landmarks=landmarks)
        if dataset is not None and not Shards.lies_in(dataset):
            check_strangers(People(dataset, whole="train"), tested)
    if landmarks is not None and (dataset is None or aligned or Shards.lies_in(dataset)):
        raise UsageError(
            f"landmarks={shown(landmarks)}: expected none unless dataset is a folder of people that "
            "are not aligned"
        )
    faces = _trained(dataset, held_out, tested, landmarks)
    if dataset is not None and not aligned:
        _tell(faces, str(dataset), landmarks)
    if isinstance(tested, PairPictures):
        first, *others = ((name, Pairs(*pairs)) for name, pairs in tested.pairs().items())
        return Faces(faces, first[1], dict(others), named=False)
    return Faces(faces, pairs_of(faces, files[0] if files else None), {})


def _tell(faces: Dataset, place: str, landmarks: Path | None) -> None:
    """Warn of pictures without landmarks. Raises UsageError if none has any."""
    splits = [faces.open(split, encoded=True) for split in faces.info().sizes]
    for source in (one for one in splits if isinstance(one, LandmarkedSource)):
        if source.without == len(source):
            raise UsageError(
                f"landmarks={shown(landmarks)}: expected names as {shown(source.files[0])} and points "
                f"of them, the table has none of the {len(source)} pictures of {shown(source.location)}"
            )
        if source.without:
            tell_unaligned(source.without, shown(source.location))
    if landmarks is None:
        tell_unaligned(faces.info().sizes["train"], place)


def check_strangers(learnt: People, tested: People) -> None:
    """Raise UsageError if a folder of the test has the name of one that is trained on."""
    known = {name.casefold() for name in learnt.people[0]}
    if both := sorted(name for name in tested.people[1] if name.casefold() in known):
        raise UsageError(
            f"test_people={tested.root}: expected people that are not trained on, {len(both)} are in "
            f"{learnt.root} too, such as {shown(both[0])}"
        )


def _trained(
    dataset: Path | None, held_out: int, tested: Dataset | None, landmarks: Path | None
) -> Dataset:
    if dataset is None:
        made_up = DrawnFaces()
        return made_up if tested is None else TwoSets(made_up, tested)
    if Shards.lies_in(dataset):
        if tested is None:
            raise UsageError(
                "pairs missing: tar shards name nobody, give .bin files or test_people"
            )
        return TwoSets(Shards(dataset), tested)
    if tested is None:
        return People(dataset, held_out, landmarks=landmarks)
    return TwoSets(People(dataset, whole="train", landmarks=landmarks), tested)
