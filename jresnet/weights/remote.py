"""Weights by name: `hf://OWNER/MODEL` on a model hub, or an address; downloaded once and kept.

A file from elsewhere is read as any other: of a pickle nothing is called (`weights.files`).
"""

import hashlib
import http.client
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from jresnet.errors import UsageError
from jresnet.extras import library
from jresnet.storage import cache, replacing
from jresnet.text import shown

HUB_FILES = ("model.safetensors", "pytorch_model.bin")  # the first that a repository has
SECONDS = 30  # without an answer
CHUNK = 1 << 20  # bytes
# The slashes of `hf://` become one in a path.
_HUB = re.compile(r"hf:/+([^/@]+/[^/@]+)(?:/([^@]+))?(?:@(.+))?")
_ADDRESS = re.compile(r"(https?):/+(.+)")
# torch's hub puts the first digits of a file's SHA-256 before its ending.
_SHA256 = re.compile(r"sha256=([0-9a-fA-F]{64})")
_DIGITS = re.compile(r"-([0-9a-f]{8,64})\.")


def is_remote(path: Path) -> bool:
    """Whether `path` is a name on the hub or an address, not a file of this machine."""
    text = str(path)
    return bool(text.startswith("hf:/") or _ADDRESS.fullmatch(text))


def local(path: Path) -> Path:
    """The file on this machine, downloaded unless it was before.

    - `hf://OWNER/MODEL`, with `/FILE` for another one than model.safetensors or pytorch_model.bin,
      and `@REVISION`: by huggingface_hub (an extra) into its own cache, whose settings hold, such
      as HF_HOME, HF_ENDPOINT and HF_HUB_OFFLINE.
    - `https://...`, with `#sha256=HEX` to be checked: into JRESNET_CACHE, or ~/.cache/jresnet. The
      digits in a name as torch gives it, `resnet18-f37072fd.pth`, are checked too.

    Raises UsageError, one line, without network, for a file that is not there, or one whose hash
    is another.
    """
    text = str(path)
    if match := _HUB.fullmatch(text):
        return _from_hub(text, *match.groups())
    if match := _ADDRESS.fullmatch(text):
        return _from_address(f"{match[1]}://{match[2]}")
    raise UsageError(f"weights {text!r}: expected hf://OWNER/MODEL[/FILE][@REVISION]")


def _from_hub(text: str, repository: str, file: str | None, revision: str | None) -> Path:
    hub = library("huggingface_hub", "hub")
    errors = library("huggingface_hub.errors", "hub")
    unanswered: Exception | None = None
    for name in (file,) if file else HUB_FILES:
        try:
            path = Path(hub.hf_hub_download(repository, name, revision=revision))
        except errors.LocalEntryNotFoundError as error:
            unanswered = error  # the next may be in the cache
            continue
        except errors.EntryNotFoundError:
            continue
        except Exception as error:  # of the hub, the network, or the library's own
            raise UsageError(f"weights {text!r}: {shown(error, 300)}") from error
        # A large file is kept under the hash that the hub tells.
        expected = path.resolve().name
        if len(expected) == 64:
            _check(text, path, expected)
        return path
    if unanswered is not None:
        raise UsageError(
            f"weights {text!r}: no answer from the hub, and not in its cache "
            f"({shown(unanswered.__cause__ or unanswered, 200)})"
        ) from unanswered
    wanted = file or " nor ".join(HUB_FILES)
    raise UsageError(f"weights {text!r}: {repository} has no {wanted}")


def _from_address(address: str) -> Path:
    parts = urllib.parse.urlsplit(address)
    name = Path(parts.path).name
    key = hashlib.sha256(address.encode()).hexdigest()[:16]
    path = cache() / key / name
    asked = _SHA256.fullmatch(parts.fragment)
    if parts.fragment and asked is None:
        raise UsageError(f"weights {address!r}: expected #sha256= and 64 digits, or no #")
    expected = [asked[1].lower()] if asked else _DIGITS.findall(name)[-1:]
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _download(parts._replace(fragment="").geturl(), path, *expected)
        except (OSError, ValueError, http.client.HTTPException) as error:  # of network and server
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            reason = shown(error, 200)
            raise UsageError(f"weights {address!r}: not downloaded ({reason})") from error
    for digits in expected:
        _check(address, path, digits)
    return path


def _download(address: str, path: Path, expected: str = "") -> None:
    """Write the file whole, or not at all, whoever else downloads it at the same time."""
    unshared = path.with_name(f"{os.getpid()}-{path.name}")
    with urllib.request.urlopen(address, timeout=SECONDS) as answer, replacing(unshared) as file:
        digest, read = hashlib.sha256(), 0
        while piece := answer.read(CHUNK):
            digest.update(piece)
            file.write(piece)
            read += len(piece)
        length = answer.headers.get("Content-Length")
        if length is not None and read != int(length):
            raise OSError(f"{read:,} bytes of {int(length):,} came")
        if not digest.hexdigest().startswith(expected):
            raise OSError(f"SHA-256 {digest.hexdigest()}: expected {expected}")
    unshared.replace(path)


def _check(text: str, path: Path, expected: str) -> None:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(expected):
        raise UsageError(
            f"weights {text!r}: SHA-256 {digest} of {shown(path)}: expected {expected}; delete it"
        )
