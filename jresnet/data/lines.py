"""Lines of small text files that people write."""

import codecs
from pathlib import Path

_LIMIT = 64 << 20


def read_lines(path: Path) -> list[str]:
    """The lines of a text file without their ends; empty lines at its end do not count.

    UTF-8 with or without a byte order mark, or UTF-16 with one; lines end as on any system. Raises OSError,
    also for a file above 64 MiB, and UnicodeDecodeError.
    """
    with path.open("rb") as file:
        data = file.read(_LIMIT + 1)
    if len(data) > _LIMIT:
        raise OSError(f"more than {_LIMIT:,} bytes")
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = data.decode("utf-16" if wide else "utf-8-sig")
    # Not str.splitlines, which also ends lines at characters that names may hold.
    lines = text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").split("\n")
    return lines if lines != [""] else []
