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
_HUB = re.compile(r"(?i:hf):/+([^/@]+/[^/@]+)(?:/([^@]+))?(?:@(.+))?")
_ADDRESS = re.compile(r"(?i:(https?)):/+(.+)")
_SCHEME = re.compile(r"(?i:(hf|https?)):/+")
# torch's hub puts the first digits of a file's SHA-256 before its ending.
_SHA256 = re.compile(r"sha256=([0-9a-fA-F]{64})")
_DIGITS = re.compile(r"-([0-9a-f]{8,64})\.")
_DATE = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")


def is_remote(path: Path) -> bool:
    """Whether `path` is a name on the hub or an address, not a file of this machine."""
    return _SCHEME.match(str(path)) is not None


def spelled(path: Path) -> str:
    """The name or address of a remote path as it is written, with both slashes."""
    return _SCHEME.sub(lambda match: f"{match[1].lower()}://", str(path), count=1)


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
    text = spelled(path)
    if match := _HUB.fullmatch(text):
        return _from_hub(text, *match.groups())
    if _ADDRESS.fullmatch(text):
        return _from_address(text)
    raise UsageError(
        f"weights {text!r}: expected hf://OWNER/MODEL[/FILE][@REVISION] or https://HOST/FILE"
    )


def beside(path: Path, name: str) -> Path | None:
    """The file `name` of the repository that weights on the hub lie in, on this machine.

    None for an address, and for a repository without it. Raises UsageError, one line, without an
    answer from the hub.
    """
    text = spelled(path)
    if (match := _HUB.fullmatch(text)) is None:
        return None
    return _of_repository(text, match[1], (name,), match[3])


def _from_hub(text: str, repository: str, file: str | None, revision: str | None) -> Path:
    path = _of_repository(text, repository, (file,) if file else HUB_FILES, revision)
    if path is None:
        wanted = file or " nor ".join(HUB_FILES)
        raise UsageError(f"weights {text!r}: {repository} has no {wanted}")
    # A large file is kept under the hash that the hub tells.
    expected = path.resolve().name
    if len(expected) == 64:
        _check(text, path, expected)
    return path


def _of_repository(
    text: str, repository: str, names: tuple[str, ...], revision: str | None
) -> Path | None:
    """The first of the files that a repository has; None if it has none of them."""
    hub = library("huggingface_hub", "hub")
    errors = library("huggingface_hub.errors", "hub")
    unanswered: Exception | None = None
    for name in names:
        try:
            return Path(hub.hf_hub_download(repository, name, revision=revision))
        except errors.LocalEntryNotFoundError as error:
            unanswered = error  # the next may be in the cache
            continue
        except errors.EntryNotFoundError:
            continue
        except Exception as error:  # of the hub, the network, or the library's own
            raise UsageError(f"weights {text!r}: {shown(error, 300)}") from error
    if unanswered is not None:
        raise UsageError(
            f"weights {text!r}: {names[0]}: no answer from the hub, and not in its cache "
            f"({shown(unanswered.__cause__ or unanswered, 200)})"
        ) from unanswered
    return None


def _from_address(address: str) -> Path:
    try:
        parts = urllib.parse.urlsplit(address)
    except ValueError as error:
        raise UsageError(f"weights {address!r}: expected https://HOST/FILE ({error})") from error
    name = Path(parts.path).name
    if not parts.netloc or not name:
        raise UsageError(f"weights {address!r}: expected the address of a file, https://HOST/FILE")
    key = hashlib.sha256(address.encode()).hexdigest()[:16]
    path = cache() / key / name
    asked = _SHA256.fullmatch(parts.fragment)
    if parts.fragment and asked is None:
        raise UsageError(f"weights {address!r}: expected #sha256= and 64 digits, or no #")
    told = [digits for digits in _DIGITS.findall(name) if not _DATE.fullmatch(digits)]
    expected = [asked[1].lower()] if asked else told[-1:]
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _download(parts._replace(fragment="").geturl(), path, asked is None, *expected)
        except (OSError, ValueError, http.client.HTTPException) as error:  # of network and server
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            reason = shown(error, 300)
            raise UsageError(f"weights {address!r}: not downloaded ({reason})") from error
    for digits in expected:
        _check(address, path, digits, asked is None)
    return path


def _download(address: str, path: Path, by_name: bool, expected: str = "") -> None:
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
            raise OSError(_other(digest.hexdigest(), expected, by_name))
    unshared.replace(path)


def _other(digest: str, expected: str, by_name: bool) -> str:
    """The two hashes, and how to go on where the expected one is a part of the file's name."""
    hint = f"; give #sha256={digest} if these digits of its name are no hash" if by_name else ""
    return f"SHA-256 {digest}: expected {expected}{hint}"


def _check(text: str, path: Path, expected: str, by_name: bool = False) -> None:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(expected):
        told = _other(digest, expected, by_name)
        raise UsageError(f"weights {text!r}: {shown(path)} changed, delete it: {told}")
