"""The plan for accelerators: its parts are kept, and what was cut short goes on."""

import functools
import json
from pathlib import Path

import numpy as np
import pytest

from experiments.benchmark import benchmark
from jresnet.benchmark import nets_report, plan, plan_lines
from jresnet.benchmark.cases import CASES
from jresnet.benchmark.input import ALONE
from jresnet.benchmark.timing import OURS
from jresnet.errors import UsageError
from jresnet.experiment import Study
from jresnet.report.conclusion import write_conclusion
from jresnet.train.loop import Interrupted

ROW = {
    "net": "resnet18", "mode": "train", "contestant": OURS, "batch": 64, "images_per_second": 5000.0,
    "slowest": 4000.0, "fastest": 6000.0, "ratio": 1.0, "compile_seconds": 9.0, "peak_bytes": 2**30,
}  # fmt: skip


def counted(name: str, begun: list[str], row: dict = ROW) -> plan.Part:
    """A part that writes what the benchmarks write, and notes that it began."""

    def conclude(folder: Path, results, provenance):
        begun.append(name)
        (folder / "benchmark.json").write_text(json.dumps({"rows": [row]}))
        return write_conclusion(folder, name, "Done.", [], provenance)

    return plan.Part(name, conclude)


def test_it_stops_between_parts_and_goes_on_with_those_that_are_missing(tmp_path):
    begun: list[str] = []
    parts = [counted(name, begun) for name in ("first", "second", "third")]
    times = iter([0.0, 10.0, 50.0, 70.0])
    line = plan.conclude(parts, 1, tmp_path, {}, {"jax": "0"}, clock=lambda: next(times))
    assert begun == ["first", "second"]
    assert "2 of 3 parts are measured. Missing: third" in str(line)
    (tmp_path / "third").mkdir()
    (tmp_path / "third" / "benchmark.json").write_text("{}")  # cut short before its report
    again = plan.conclude(parts, 1, tmp_path, {}, {"jax": "0"}, clock=lambda: 0.0)
    assert begun == ["first", "second", "third"]
    assert str(again).startswith("3 of 3 parts are measured. See")
    lines = json.loads((tmp_path / plan.RECORD).read_text())["lines"]
    assert [line["part"] for line in lines] == ["first", "second", "third"]
    table = (tmp_path / plan.TABLE).read_text().splitlines()
    assert len({line.count("|") for line in table[:5]}) == 1


def test_a_part_that_fails_is_told_and_the_others_have_their_turn(tmp_path):
    begun: list[str] = []

    def full(folder, results, provenance):
        begun.append("full")
        raise RuntimeError("RESOURCE_EXHAUSTED: out of memory\nand much more")

    parts = [plan.Part("full", full), counted("next", begun)]
    line = str(plan.conclude(parts, 1, tmp_path, {}, {}))
    assert "1 of 2 parts are measured. Failed: full (RuntimeError: RESOURCE_EXHAUSTED: out" in line
    assert "Missing" not in line
    plan.conclude(parts, 1, tmp_path, {}, {})
    assert begun == ["full", "next"]
    (tmp_path / "full" / plan.FAILURE).unlink()
    plan.conclude(parts, 1, tmp_path, {}, {})
    assert begun == ["full", "next", "full"]


def test_a_part_that_is_interrupted_has_not_failed(tmp_path):
    begun: list[str] = []

    def stopped(folder, results, provenance):
        raise Interrupted("stopped while concluding")

    parts = [plan.Part("first", stopped), counted("next", begun)]
    with pytest.raises(Interrupted):
        plan.conclude(parts, 1, tmp_path, {}, {})
    assert not begun
    assert plan.failed(tmp_path / "first") is None


def test_operations_are_those_that_torchvision_counts():
    # 1.81 billion multiply-accumulates, and a step has three passes of as many.
    assert plan_lines.operations("resnet18", "infer") == pytest.approx(2 * 1.814e9, rel=1e-3)
    train = plan_lines.line("resnet18-64", ROW)
    assert train.flops == pytest.approx(5000 * 6 * 1.814e9, rel=1e-3)
    assert train.share is None  # not an accelerator whose peak is known
    assert plan_lines.operations("nms", "infer") is None


def test_a_share_is_of_the_peak_of_the_device(monkeypatch):
    card = type("Card", (), {"device_kind": "NVIDIA H200"})()
    monkeypatch.setattr(plan_lines.jax, "devices", lambda: [card])
    assert plan_lines.line("x", ROW).share == pytest.approx(5000 * 6 * 1.814e9 / 989e12, rel=1e-3)


def test_every_part_is_of_known_nets_and_has_its_own_name():
    parts = list(plan.accelerator(True, 3, 1.0))
    assert len({part.name for part in parts}) == len(parts)
    works = [part.conclude for part in parts if isinstance(part.conclude, functools.partial)]
    assert len(works) == len(parts)
    timed = [work for work in works if work.func is nets_report.conclude]
    assert {net for work in timed for net in work.args[0]} <= set(CASES)
    others = {part.name for part, work in zip(parts, works, strict=True) if work not in timed}
    inputs = {f"input-{kind}" for kind in ("images", "boxes", "maps", "clips")}
    assert others == {"cifar10", "landscape", "lesions", "products"} | inputs
    study = benchmark(plan="accelerator")
    assert isinstance(study, Study)
    assert study.shortened
    with pytest.raises(UsageError, match="plan=accelerator: expected none of nets"):
        benchmark(plan="accelerator", batch=8)
    with pytest.raises(UsageError, match="dataset=x, data_dir=None: expected them with a plan"):
        benchmark(dataset="x")


def test_the_part_of_cifar10_reads_where_it_was_told(tmp_path):
    parts = plan.accelerator(True, 3, 1.0, dataset="a/b", data_dir=tmp_path)
    work = next(part.conclude for part in parts if part.name == "cifar10")
    assert isinstance(work, functools.partial)
    assert work.args == ("a/b", tmp_path, 3, False)


def test_analyses_have_a_line_without_a_mode():
    row = {key: value for key, value in ROW.items() if key not in ("mode", "peak_bytes")}
    line = plan_lines.line("lesions", row | {"analysis": "lesions", "net": "ResNet-110"})
    assert (line.timed, line.flops, line.peak_bytes) == ("lesions, ResNet-110", None, None)
    assert np.isfinite(line.rate)


@pytest.mark.slow
def test_small_parts_of_each_kind_are_measured_for_real(tmp_path):
    kinds = ("resnet18-64", "convolution-line", "boxes", "products", "input-maps")
    small = {part.name: part for part in plan.accelerator(False, 1, 1e-6, shrunk=True)}
    # The names are those of the full sizes.
    assert list(small) == [part.name for part in plan.accelerator(True, 3, 1.0)]
    plan.conclude([small[name] for name in kinds], 60, tmp_path, {}, {"jax": "0"})
    lines = json.loads((tmp_path / plan.RECORD).read_text())["lines"]
    assert {line["part"] for line in lines} == set(kinds)
    assert all(line["rate"] > 0 for line in lines)
    read = [line for line in lines if line["part"] == "input-maps"]
    assert {"pipeline, 0 workers of 1 threads", ALONE} <= {line["by"] for line in read}
    assert all(line["compile_seconds"] is None for line in read)
    nets = [line for line in lines if line["part"] == "resnet18-64"]
    assert {(line["by"], line["batch"]) for line in nets} == {(OURS, 2), (f"{OURS}, unfolded", 2)}
    assert all(line["flops"] > 0 for line in nets)
