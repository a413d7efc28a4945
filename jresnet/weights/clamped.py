"""Reading of files that lie about lengths."""

import io
from pathlib import Path


class Clamped(io.BufferedReader):
    """A file whose `read` never sets aside more memory than there are bytes left.

    Python's own allocates what is asked for first, and files claim lengths of gigabytes.
    """

    def __init__(self, path: Path):
        super().__init__(io.FileIO(path))
        self.size = path.stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(0, self.size - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left))
