"""Folders, tar shards and files of pairs with drawn faces."""

import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from jresnet.data.sources.drawn_faces import drawn


def picture(person: int, number: int, size: tuple[int, int] = (23, 28)) -> bytes:
    """A PNG file of a drawn face, by default small."""
    stream = io.BytesIO()
    Image.fromarray(drawn(person, number)[..., 0]).resize(size).save(stream, "PNG")
    return stream.getvalue()


def folder_of_people(root: Path, people: int, pictures: int, first: int = 0) -> Path:
    """`root/pNN/N.png`."""
    for person in range(first, first + people):
        place = root / f"p{person:02}"
        place.mkdir(parents=True)
        for number in range(1, pictures + 1):
            (place / f"{number}.png").write_bytes(picture(person, number))
    return root


def shards_of_people(root: Path, people: int, pictures: int) -> Path:
    """`root/train-N.tar`, two of them, the person in `<key>.cls`."""
    root.mkdir()
    for shard in range(2):
        with tarfile.open(root / f"train-{shard}.tar", "w") as tar:
            for person in range(people):
                for number in range(shard, pictures, 2):
                    key = f"{person:03}{number:03}"
                    for name, content in ((f"{key}.cls", str(person).encode()), (f"{key}.png", picture(person, number))):  # fmt: skip
                        about = tarfile.TarInfo(name)
                        about.size = len(content)
                        tar.addfile(about, io.BytesIO(content))
    return root


def pair_file(path: Path, people: int, pairs: int) -> Path:
    """A `.bin` of so many pairs of one person and as many of two, in turn; people from 20 on."""
    pictures, same = [], []
    for pair in range(2 * pairs):
        one, other = 20 + pair % people, 20 + (pair + pair % 2) % people
        pictures += [picture(one, pair), picture(other, pair + 1)]
        same.append(one == other)
    assert np.mean(same) == 0.5
    path.write_bytes(pickle.dumps((pictures, same)))
    return path
