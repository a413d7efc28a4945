"""Checkpoint files: safetensors, npz, and torch's own, read without torch."""

from collections.abc import Mapping
from pathlib import Path

import ml_dtypes  # noqa: F401, so that numpy knows the name bfloat16
import numpy as np
import safetensors.numpy

from jresnet.errors import UsageError
from jresnet.storage import replacing
from jresnet.text import shown
from jresnet.weights import npz, remote, torch_file
from jresnet.weights.inert import RefusedError

TORCH = (".pt", ".pth", ".bin", ".th", ".pth.tar", ".ckpt", ".pkl")
READ = (".safetensors", ".npz", *TORCH)
SAFETENSORS = (
    "F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL",
)  # fmt: skip
WRITTEN = (".safetensors", ".npz")


def load(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint file by name, in torch's layout.

    Of torch's files, the zip, the form before torch 1.6 and pickles of numpy arrays are read by an
    unpickler that calls nothing. It makes tensors and containers, and stand-ins for all else. A
    training checkpoint's state dict is looked up under its usual keys, the average first.

    A name on a model hub or an address (`weights.remote`) is downloaded once.

    Raises UsageError, one line, for a file that is absent, empty, cut short, hostile or of another
    kind.
    """
    path = Path(path)
    if remote.is_remote(path):
        path = remote.local(path)
    if not path.is_file():
        raise UsageError(f"weights {str(path)!r}: no such file")
    ending = next((ending for ending in READ if path.name.endswith(ending)), None)
    if ending is None:
        raise UsageError(f"weights {str(path)!r}: the name must end in {', '.join(READ)}")
    if path.stat().st_size == 0:
        raise UsageError(f"weights {str(path)!r}: the file is empty")
    try:
        arrays = _read(path, ending)
    except RefusedError as error:
        raise UsageError(f"weights {str(path)!r}: {shown(error, 600)}") from error
    except PermissionError as error:
        raise UsageError(f"weights {str(path)!r}: cannot be read ({error.strerror})") from error
    except Exception as error:  # a broken pickle or archive fails in any way it likes
        reason = shown(error, 200)
        raise UsageError(
            f"weights {str(path)!r}: not a whole {ending} file ({type(error).__name__}: {reason})"
        ) from error
    for name, value in arrays.items():
        if not npz.numeric(value.dtype):
            raise UsageError(
                f"weights {str(path)!r}: {name!r} is of {value.dtype}, no real numbers"
            )
    return arrays


def _read(path: Path, ending: str) -> dict[str, np.ndarray]:
    if ending == ".safetensors":
        return _safetensors(path)
    if ending == ".npz":
        return npz.load(path)
    return torch_file.load(path)


def _safetensors(path: Path) -> dict[str, np.ndarray]:
    """Its library checks that the header's sizes are those of the data, without gaps."""
    with safetensors.safe_open(path, framework="np") as file:
        for name in file.keys():  # noqa: SIM118, it is no dict
            dtype = file.get_slice(name).get_dtype()
            if dtype not in SAFETENSORS:
                raise RefusedError(
                    f"{name!r} is of type {dtype}, expected one of {', '.join(SAFETENSORS)}"
                )
        return dict(file.get_tensors())


def save(state: Mapping[str, np.ndarray], path: str | Path) -> None:
    """Write arrays as `.safetensors` or `.npz`, whole or not at all.

    Raises UsageError for another ending or a file that exists already.
    """
    path = Path(path)
    if path.suffix not in WRITTEN:
        raise UsageError(f"weights {str(path)!r}: the name must end in {' or '.join(WRITTEN)}")
    if path.exists():
        raise UsageError(f"weights {str(path)!r} exists already: take another name")
    arrays = {name: np.ascontiguousarray(value) for name, value in state.items()}
    with replacing(path) as file:
        if path.suffix == ".safetensors":
            file.write(safetensors.numpy.save(arrays, metadata={"format": "pt"}))
        else:
            np.savez(file, **arrays)  # type: ignore[arg-type]
