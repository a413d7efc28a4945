"""The gallery: every study is in it, and a browser shows every figure of it."""

import json
import pkgutil
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import experiments
from experiments.all_studies import STUDIES, all_studies
from jresnet.errors import UsageError
from jresnet.experiment import Result, Study
from jresnet.report.bars import compared
from jresnet.report.conclusion import Conclusion
from jresnet.report.figures import save

# Trainings, what needs a checkpoint to start from, and what times.
OTHERS = {
    "all_applications",
    "all_studies",
    "benchmark",
    "benchmark_analyses",
    "cifar10",
    "deep_agents",
    "detect",
    "distil",
    "imagenet",
    "finetune",
    "medmnist",
    "games",
    "recognize",
    "restyle",
    "segment",
    "shortcut_worth",
    "style",
    "style_features",
    "upscale",
    "video",
    "volumes",
    "ingredients",
}
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


def test_every_study_is_in_the_gallery():
    assert {module.name for module in pkgutil.iter_modules(experiments.__path__)} == OTHERS | set(
        STUDIES
    )
    with pytest.raises(UsageError, match="studies lesions: take some of"):
        all_studies(("lesions",))


@pytest.fixture
def gallery(tmp_path, monkeypatch):
    """Two studies that leave figures and find something."""

    def study(finding):
        def conclude(folder: Path, results, provenance) -> Conclusion:
            assert list(results) == ["net"]
            save(
                compared(["a", "b"], [1.0, 2.0], [(1, 1), (2, 2)], finding),
                folder / f"{finding}.png",
            )
            (folder / "report.html").write_text("alone")
            return Conclusion(f"{finding} rises.", folder)

        return Study({"net": None}, conclude)

    studies = {"lesion": study("one"), "shortcuts": study("two")}
    for name, study_built in studies.items():
        monkeypatch.setattr(
            f"experiments.{name}.{name}", lambda study_built=study_built: study_built
        )
    built = all_studies(tuple(studies))
    assert list(built.runs) == ["lesion/net", "shortcuts/net"]
    results = {label: Result({}, 1.0, 1, tmp_path / label) for label in built.runs}
    conclusion = built.conclude(
        tmp_path, results, {"versions": {"jax": "1"}, "hardware": {}, "commit": "c"}
    )
    assert conclusion.page == tmp_path / "report.html"
    return tmp_path / "report.html"


def test_it_has_what_each_found_its_figures_and_its_report(gallery):
    text = gallery.read_text()
    for words in (
        "one rises.",
        "two rises.",
        'href="lesion/report.html"',
        'href="shortcuts/report.html"',
    ):
        assert words in text
    assert text.count("<img") == 2
    for href in re.findall(r'<a href="([^"]*)"', text):
        assert (gallery.parent / href).is_file()


SEEN = """<script>addEventListener('load', () => { document.title = JSON.stringify(
[...document.images].map(i => [i.complete, i.naturalWidth, i.getBoundingClientRect().width])) })</script>"""


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on PATH")
def test_a_browser_shows_every_figure_and_complains_of_nothing(gallery, tmp_path):
    # The page forbids scripts; the copy that is looked at allows this one.
    page = tmp_path / "seen.html"
    text = gallery.read_text().replace(
        "style-src 'unsafe-inline'", "style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    )
    page.write_text(text.replace("</body>", f"{SEEN}</body>"))
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}")  # fmt: skip
    done = subprocess.run(
        [str(BROWSER), *flags, "--virtual-time-budget=5000", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr, done.stderr
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)
    assert title, done.stderr
    images = json.loads(title[1])
    assert len(images) == 2
    assert all(complete and natural > 100 and shown > 100 for complete, natural, shown in images)
