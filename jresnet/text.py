"""Text from elsewhere in a form that is safe to show: names of files and classes, messages of libraries."""

import unicodedata


def shown(text: object, limit: int | None = None) -> str:
    r"""A text on one line that is safe in a terminal, a log, a page and a figure.

    These characters are written as Python escapes them, `\x1b`, `\n`, `\u202e`, `\xff`: control
    characters (escape sequences, newlines, tabs), those that change the direction of writing or are
    invisible, and bytes of names that are not UTF-8. Letters, signs and spaces of all scripts stay.

    Args:
      text: anything; its `str` is shown.
      limit: the longest result in characters, at least 5; a longer text is cut in its middle, at
        "...". None for no limit.

    Returns:
      Text that encodes to UTF-8 and has one line.
    """
    line = str(text)
    if not line.isprintable():  # long texts, such as pictures in a page, seldom are not
        line = "".join(map(_visible, line))
    if limit is None or len(line) <= limit:
        return line
    kept = limit - len("...")
    return f"{line[: kept - kept // 2]}...{line[len(line) - kept // 2 :]}"


def _visible(char: str) -> str:
    if char.isprintable() or unicodedata.category(char) == "Zs":
        return char
    # How Python keeps a byte that is not UTF-8 in a file's name.
    if 0xDC80 <= ord(char) <= 0xDCFF:
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape").decode("ascii")
