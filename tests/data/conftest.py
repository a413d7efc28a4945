import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jresnet.data import digits


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
