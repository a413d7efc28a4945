"""Checkpoint files: safetensors, npz, and torch's own zip, read without torch."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors.numpy

from jresnet.errors import UsageError
from jresnet.weights import torch_zip

READ = (".safetensors", ".npz", ".pt", ".pth", ".bin")
WRITTEN = (".safetensors", ".npz")


def load(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint file by name, in torch's layout.

    Torch files are read by an unpickler that makes tensors and containers and nothing else; a
    `state_dict` or `model` within one is looked up. Raises UsageError, one line, for a file that
    is absent, empty, cut short, hostile or of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"weights {str(path)!r}: no such file")
    if path.suffix not in READ:
        raise UsageError(f"weights {str(path)!r}: the name must end in {', '.join(READ)}")
    if path.stat().st_size == 0:
        raise UsageError(f"weights {str(path)!r}: the file is empty")
    try:
        if path.suffix == ".safetensors":
            return dict(safetensors.numpy.load_file(path))
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as data:
                return {name: data[name] for name in data.files}
        return torch_zip.load(path)
    except torch_zip.RefusedError as error:
        raise UsageError(f"weights {str(path)!r}: {error}") from error
    except Exception as error:  # a broken pickle or archive fails in any way it likes
        reason = " ".join(str(error).split())[:200]
        raise UsageError(
            f"weights {str(path)!r}: not a whole {path.suffix} file ({type(error).__name__}: {reason})"
        ) from error


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
    temporary = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        if path.suffix == ".safetensors":
            temporary.write_bytes(safetensors.numpy.save(arrays, metadata={"format": "pt"}))
        else:
            np.savez(temporary, **arrays)  # type: ignore[arg-type]
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
