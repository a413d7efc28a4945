"""A page as a browser shows it."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium on PATH")

_SEEN = """<script>addEventListener('load', () => { document.title = JSON.stringify(
[...document.images].map(i => [i.complete, i.naturalWidth, i.getBoundingClientRect().width])) })</script>"""


def pictures_shown(page: Path, folder: Path) -> int:
    """How many pictures a page shows; fails for one that is not shown, and for complaints.

    The page forbids scripts. A copy in `folder`, which is looked at, allows the one that counts.
    """
    copy = folder / "seen.html"
    text = page.read_text().replace(
        "style-src 'unsafe-inline'", "style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    )
    copy.write_text(text.replace("</body>", f"{_SEEN}</body>"))
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             "--enable-logging=stderr", f"--user-data-dir={folder / 'profile'}")  # fmt: skip
    done = subprocess.run(
        [str(BROWSER), *flags, "--virtual-time-budget=5000", "--dump-dom", copy.as_uri()],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr, done.stderr
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)
    assert title, done.stderr
    images = json.loads(title[1])
    assert all(complete and natural > 100 and shown > 100 for complete, natural, shown in images)
    return len(images)
