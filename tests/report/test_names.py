"""Names from data in figures, tables and pages: drawn as they are read, and nothing in them is obeyed."""

import importlib.util
import inspect
import os
import pkgutil
import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text as Artist

import jresnet.report
import jresnet.studies
from jresnet.report import bars, detection, episodes, figures, html, lines, pictures, style, text
from jresnet.studies.expressiveness import figures as expressiveness
from jresnet.studies.gradient_flow import figures as gradient_flow
from jresnet.studies.gradient_flow.measure import Extremes, Findings, Profile
from jresnet.studies.identity_init import figures as identity_init
from jresnet.studies.landscape import figures as landscape
from jresnet.studies.lesion import figures as lesion
from jresnet.studies.recognition import figures as recognition
from jresnet.studies.responses import figures as responses
from jresnet.studies.segmentation import figures as segmentation
from jresnet.studies.sensitivity import figures as sensitivity
from jresnet.studies.shattered_gradients import figures as shattered_gradients
from jresnet.studies.shattered_gradients.measure import LAGS
from jresnet.studies.shattered_gradients.measure import Findings as Autocorrelations
from jresnet.studies.shortcut_worth import figures as shortcut_worth
from jresnet.studies.shortcut_worth.application import Application
from jresnet.studies.shortcut_worth.measure import Row
from jresnet.studies.width_depth import figures as width_depth
from jresnet.tasks.froc import FrocCurve
from jresnet.tasks.verification import roc

NAMES = (
    r"$\frac$",
    "a_b$",
    "_a $x^$",
    "\x1b[31m\u202e<b>\n",
    os.fsdecode(b"\xff|"),
)
RECORDS = [
    {"step": step, "split": split, "loss": 1.0 / step, "error": 0.5}
    for step in (1, 2, 3)
    for split in ("train", "test")
]
GRID = landscape.Grid(np.arange(3.0), np.arange(3.0), np.arange(1.0, 10.0).reshape(3, 3))
THREE = np.array([1.0, 2.0, 3.0])
# A figure of each function that draws names, by module, or by study; the others draw none.
DRAWN = {
    "sensitivity.median_bands": lambda: sensitivity.median_bands(
        [(name, "x", {name: {1.0: [1.0, 2.0], 2.0: [3.0]}}) for name in NAMES],
        ["y"],
        [False] * len(NAMES),
    ),
    "segmentation.class_bars": lambda: segmentation.class_bars(
        {name: dict.fromkeys(NAMES, 0.5) for name in NAMES}, dict.fromkeys(NAMES, 0.2)
    ),
    "segmentation.confusion_shares": lambda: segmentation.confusion_shares(np.eye(5), NAMES),
    "bars.compared": lambda: bars.compared(NAMES, [1.0] * 5, [(1.0, 2.0)] * 5, "x"),
    "detection.froc_figure": lambda: detection.froc_figure(
        of_names(FrocCurve(THREE, THREE, THREE, THREE, THREE, THREE, 0.5, 0.4, 0.6))
    ),
    "detection.precision_recall": lambda: detection.precision_recall(of_names(THREE)),
    "episodes.strip": lambda: episodes.strip(
        np.zeros((2, 4, 4, 3), np.uint8), np.ones((2, 4, 4)), np.ones((2, 5)), np.array([0, 4]),
        np.zeros(2), np.zeros(2), NAMES,
    ),
    "expressiveness.branch_sizes": lambda: expressiveness.branch_sizes(of_names([1.0, 2.0])),
    "figures.training_curves": lambda: figures.training_curves(
        {name: {name: [RECORDS]} for name in NAMES}
    ),
    "gradient_flow.norms_figure": lambda: gradient_flow.norms_figure(findings()),
    "gradient_flow.orders_figure": lambda: gradient_flow.orders_figure(findings()),
    "gradient_flow.singular_figure": lambda: gradient_flow.singular_figure(findings()),
    "gradient_flow.split_figure": lambda: gradient_flow.split_figure(findings()),
    "identity_init.start_figure": lambda: identity_init.start_figure(
        {f"{name}-{name}": THREE for name in NAMES}
    ),
    "landscape.contours": lambda: landscape.contours(of_names(GRID)),
    "landscape.heat": lambda: landscape.heat(of_names(GRID), "z"),
    "landscape.lines": lambda: landscape.lines(of_names((THREE, THREE, THREE))),
    "landscape.smoothness": lambda: landscape.smoothness(of_names((THREE, THREE))),
    "landscape.spectra": lambda: landscape.spectra(of_names((THREE, THREE, THREE))),
    "landscape.surfaces": lambda: landscape.surfaces(of_names(GRID)),
    "lesion.amounts": lambda: lesion.amounts(of_names([(1.0, 2.0)]), of_names([(1, 2)]), "y"),
    "lesion.deletions": lambda: lesion.deletions(of_names([1.0]), of_names(1.0), [0], "m", "y"),
    "lines.bars": lambda: lines.bars(of_names([1.0]), 1, "x", "y"),
    "lines.line_panels": lambda: lines.line_panels(
        of_names(of_names(lines.Line(THREE, THREE))), "x", "y"
    ),
    "pictures.against_examples": lambda: pictures.against_examples(
        of_names({1: [1.0]}), "y", of_names("#000000")
    ),
    "pictures.confusion_matrices": lambda: pictures.confusion_matrices(
        of_names(np.ones((5, 5), int)), NAMES
    ),
    "pictures.picture_grid": lambda: pictures.picture_grid(
        np.zeros((5, 4, 4, 3), np.uint8), NAMES
    ),
    "recognition.cosine_figure": lambda: recognition.cosine_figure(
        of_names((THREE / 4, THREE > 1)), of_names(0.5)
    ),
    "recognition.roc_figure": lambda: recognition.roc_figure(of_names(roc(THREE, THREE > 1))),
    "responses.responses": lambda: responses.responses(of_names([1.0, 2.0])),
    "shattered_gradients.grid_figure": lambda: shattered_gradients.grid_figure(
        Autocorrelations(of_names({2: np.ones(LAGS)}), of_names(np.ones(LAGS)), {}, 3)
    ),
    "shattered_gradients.images_figure": lambda: shattered_gradients.images_figure(
        Autocorrelations({}, {}, of_names(np.ones(LAGS)), 3)
    ),
    "shortcut_worth.gains": lambda: shortcut_worth.gains(
        [
            Row(Application(name, name, print, name, name, (1, 2), 1, 1, name, name), 1, *[THREE] * 3, 1.0)
            for name in NAMES
        ]
    ),
    "width_depth.cost_against_error": lambda: width_depth.cost_against_error(
        NAMES, [1.0] * 5, [1.0] * 5, [1] * 5, "x"
    ),
}  # fmt: skip
NAMELESS = {
    "derivation.expansion_shares", "derivation.gradient_agreement", "paths.by_length", "run_figure.run_curves",
    "gradient_flow.scaled_figure", "gradient_flow.training_figure", "identity_init.curves_figure", "sensitivity.drawn",
}  # fmt: skip


def of_names(value):
    return dict.fromkeys(NAMES, value)


def findings():
    profile = Profile(np.ones(4), THREE, THREE, THREE, 0.0)
    return Findings(of_names(profile), of_names(THREE), of_names([Extremes(2.0, 1.0)]), {})


def test_every_figure_is_in_the_table():
    """A new one says here whether it draws names."""
    modules = {
        module.name: f"jresnet.report.{module.name}"
        for module in pkgutil.iter_modules(jresnet.report.__path__)
    }
    for study in pkgutil.iter_modules(jresnet.studies.__path__):
        name = f"jresnet.studies.{study.name}.figures"
        if study.ispkg and importlib.util.find_spec(name):
            modules[study.name] = name
    drawing = set()
    for short, full in modules.items():
        loaded = importlib.import_module(full)
        for name, value in inspect.getmembers(loaded, inspect.isfunction):
            here = value.__module__ == loaded.__name__ and not name.startswith("_")
            if here and inspect.signature(value).return_annotation is Figure:
                drawing.add(f"{short}.{name}")
    assert drawing == set(DRAWN) | NAMELESS


@pytest.mark.parametrize("name", DRAWN)
def test_figures_draw_every_name_as_it_is_read(name, tmp_path):
    figure = DRAWN[name]()
    figures.save(figure, tmp_path / "figure.png")
    drawn = [artist.get_text() for artist in figure.findobj(Artist)]
    for wanted in map(style.literal, NAMES):
        assert any(wanted in label for label in drawn), wanted
    assert all(ord(char) >= 32 for label in drawn for char in label.replace("\n", ""))


def test_tables_and_pages_show_names_and_obey_none(tmp_path):
    table = text.format_table(["class"], [[name] for name in NAMES])
    assert len(table.split("\n")) == 2 + len(NAMES)
    assert r"\x1b[31m\u202e<b>\n" in table
    evil = "".join(NAMES) + "<script>alert(1)</script>"
    section = html.Section(
        evil,
        [
            html.Text([evil]),
            html.Table([evil], [[evil]], evil),
            html.Link(f'"{evil}', evil),
            html.Command(evil, evil),
        ],
    )
    page = html.write_report(tmp_path / "p.html", evil, evil, [section], {evil: evil}).read_text()
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(1)") == 14
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", page)
    assert r"\x1b[31m\u202e&lt;b&gt;\n\xff|" in page
