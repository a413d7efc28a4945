"""Whole nets on a model hub: a repository that `push` wrote, read and written by huggingface_hub."""

import re
from pathlib import Path
from typing import Any

from jresnet.errors import UsageError
from jresnet.extras import library
from jresnet.storage import read_json
from jresnet.text import shown
from jresnet.weights.files import TORCH
from jresnet.weights.pushed import CARD, WEIGHTS
from jresnet.weights.recorded import CONFIG, ENTRY

HELD = (".safetensors", *TORCH, ".npz", ".msgpack", ".h5", ".onnx", ".gguf")  # weights of anybody
# Its slashes become one in a path.
_NAME = re.compile(r"(?i:hf):/+([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")


def repository(name: str) -> str | None:
    """`OWNER/NAME` of `hf://OWNER/NAME`; None for the name of a folder.

    Raises UsageError for a name that begins as one of the hub and is none.
    """
    if not name.lower().startswith("hf:"):
        return None
    match = _NAME.fullmatch(name)
    if match is None:
        raise UsageError(f"dest={shown(name)}: expected hf://OWNER/NAME")
    return match[1]


def at_hand(name: str) -> str:
    """The folder, in the hub's cache, of a repository that `push` wrote; any other name as it is.

    Raises UsageError, one line, for a repository that is not there or that `push` did not write.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return name
    hub, where, revision = library("huggingface_hub", "hub"), match[1], match[2]
    try:
        config = Path(hub.hf_hub_download(where, CONFIG, revision=revision))
        record = read_json(config)
        if not isinstance(record, dict) or ENTRY not in record:
            raise UsageError(
                f"net {name!r}: its {CONFIG} names no net of jresnet; give the net's name, and "
                f"--weights {name}"
            )
        hub.hf_hub_download(where, WEIGHTS, revision=revision)
    except UsageError:
        raise
    except Exception as error:  # of the hub, the network, or the library's own
        raise UsageError(f"net {name!r}: {_reason(error)}") from error
    return str(config.parent)


def check_free(where: str, name: str, *, replace: bool = False) -> None:
    """Raise UsageError for a repository with weights or a file of push's names, and without the library.

    With `replace` it may have those that `push` wrote. A repository may hold other files, such as
    the .gitattributes that a hub puts into a new one.
    """
    hub = library("huggingface_hub", "hub")
    errors = library("huggingface_hub.errors", "hub")
    try:
        present = hub.HfApi().list_repo_files(where)
        pushed = CONFIG in present and ENTRY in read_json(Path(hub.hf_hub_download(where, CONFIG)))
    except errors.RepositoryNotFoundError:
        return
    except Exception as error:
        raise UsageError(f"dest={shown(name)}: {_reason(error)}") from error
    written = (WEIGHTS, CONFIG, CARD)
    taken = [file for file in written if file in present]
    taken += [file for file in present if file not in written and file.endswith(HELD)]
    if taken and not (pushed and replace):
        hint = "; --replace commits anew to one that push wrote" if pushed else ""
        raise UsageError(
            f"dest={shown(name)}: expected a new repository, this one holds {taken[0]}{hint}"
        )


def upload(folder: Path, where: str, name: str, *, private: bool) -> None:
    """Make the repository if it is not there, and commit the folder's files to it at once.

    Raises UsageError, one line, if the hub refuses or does not answer.
    """
    hub: Any = library("huggingface_hub", "hub")
    files = [
        hub.CommitOperationAdd(path_in_repo=path.name, path_or_fileobj=str(path))
        for path in sorted(folder.iterdir())
    ]
    try:
        api = hub.HfApi()
        api.create_repo(where, private=private, exist_ok=True)
        api.create_commit(where, files, commit_message="Weights, config and model card")
    except Exception as error:  # of the hub, the network, or the library's own
        raise UsageError(f"dest={shown(name)}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """The first line of an error, with that of its cause where there is one."""
    cause = error.__cause__ or error
    return shown(
        f"refused or not reached ({type(cause).__name__}: {' '.join(str(cause).split())})", 300
    )
