"""The gallery: every study is in it, and a browser shows every figure of it."""

import pkgutil
import re
from pathlib import Path

import pytest

import experiments
from experiments.all_studies import STUDIES, all_studies
from jresnet.errors import UsageError
from jresnet.experiment import Result, Study
from jresnet.report.bars import compared
from jresnet.report.conclusion import Conclusion
from jresnet.report.figures import save
from tests.browser import needs_browser, pictures_shown

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
    "fast_cifar10",
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


@needs_browser
def test_a_browser_shows_every_figure_and_complains_of_nothing(gallery, tmp_path):
    assert pictures_shown(gallery, tmp_path) == 2
