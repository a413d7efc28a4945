import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jresnet.data.sources import digits


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TFDS data folder that holds the digits and nothing else."""
    folder = tmp_path_factory.mktemp("tensorflow_datasets")
    digits.prepare(folder)
    return folder


def encode(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    """The file of an image, uint8 [H, W] or [H, W, C]."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def photograph(height: int, width: int, period: float = 107) -> np.ndarray:
    """uint8 [height, width, 3], smooth as photographs are, so that JPEG keeps it; waves of period pixels."""
    y, x = np.mgrid[:height, :width] * (2 * np.pi / period)
    waves = [128 + 100 * np.sin(x + c) * np.cos(y * 0.75 - c) for c in range(3)]
    return np.stack(waves, axis=-1).astype(np.uint8)


def jpegs(folder: Path, sizes: dict[str, int], splits: tuple[str, ...] = ("train", "test")) -> None:
    """`<split>/<class>/<number>.jpg` below folder, as many of each class; 20x24, the average of each its own."""
    value = 0
    for split in splits:
        for name, size in sizes.items():
            (folder / split / name).mkdir(parents=True)
            for index in range(size):
                value += 1
                pixels = np.full((20, 24, 3), value % 250, np.uint8)
                (folder / split / name / f"{index:03d}.jpg").write_bytes(encode(pixels, "JPEG"))
