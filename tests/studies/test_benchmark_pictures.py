"""DIV2K and the benchmarks of super-resolution from folder to score, in layouts as they are given out."""

import json

import numpy as np
import pytest
from PIL import Image

from experiments.upscale import upscale
from jresnet.run.command_line import RunOptions
from jresnet.run.launch import run
from tests.data.conftest import encode, photograph
from tests.studies.test_upscaling import arguments

# Files below a set to test on: those of the truth, and others that lie beside them.
BENCHMARKS = {
    "Set5": (("GTmod12/baby.png", "GTmod12/bird.png"), ("LRbicx4/baby.png",)),
    "Set14": (("image_SRF_4/img_001_SRF_4_HR.png",), ("image_SRF_4/img_001_SRF_4_LR.png", "image_SRF_4/img_001_SRF_4_bicubic.png")),
    "BSD100": (("HR/101085.png",), ("LR_bicubic/X4/101085x4.png",)),
    "Urban100": (("image_SRF_2/img_001_SRF_2_HR.png",), ("image_SRF_4/img_001_SRF_4_HR.png", "image_SRF_2/img_001_SRF_2_LR.png")),
}  # fmt: skip


def bicubic_psnr(truth, scale):
    """PSNR on luma of Pillow's bicubic, there and back, by the protocol of papers."""
    height, width = (side // scale * scale for side in truth.shape[:2])
    whole = Image.fromarray(truth[:height, :width])
    low = whole.resize((width // scale, height // scale), Image.Resampling.BICUBIC)
    back = low.resize((width, height), Image.Resampling.BICUBIC)
    luma = [np.asarray(x, float) @ [65.481, 128.553, 24.966] / 255 for x in (whole, back)]
    error = (luma[0] - luma[1])[scale:-scale, scale:-scale]
    return 10 * np.log10(255**2 / np.square(error).mean())


@pytest.mark.slow
@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_benchmarks_are_tested_on_as_they_are_given_out(tmp_path, name):
    pictures = tmp_path / "DIV2K"
    for number in range(2):
        for split in ("train", "valid"):
            for kind, shape in (("HR", (40, 44)), ("LR_bicubic/X4", (10, 11))):
                ending = "x4" if "LR" in kind else ""
                path = pictures / f"DIV2K_{split}_{kind}" / f"{number + 1:04}{ending}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(encode(photograph(*shape, 9 + number)))
    truths, others = BENCHMARKS[name]
    expected = []
    for number, file in enumerate((*truths, *others)):
        path = tmp_path / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = photograph(45, 50, 6 + number)  # 44 x 48 after the cut to a multiple
        path.write_bytes(encode(pixels))
        if file in truths:
            expected.append(bicubic_psnr(pixels, 4))
    inputs = arguments(dataset=pictures, test_pictures=tmp_path / name, scale=4, recipe="edsr", kind="pillow")  # fmt: skip
    line = run(upscale, inputs, RunOptions(workdir=tmp_path / "run", devices=1))
    assert f"x4 on {name}, PSNR on Y" in line
    result = json.loads((tmp_path / "run" / "small-1-seed0" / "result.json").read_text())
    test = result["metrics"]["test"]
    assert test["bicubic/psnr_y"] == pytest.approx(np.mean(expected), abs=0.02)
    assert np.isfinite(test["psnr_y"])
