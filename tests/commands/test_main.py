"""`python -m jresnet`: its commands, and what it says of others."""

import re

import pytest

from jresnet.__main__ import main
from tests.shell import command


def test_list_names_every_published_net():
    status, printed, _ = command("jresnet", "list")
    assert status == 0
    for words in ("resnet50()", "25,557,032", "4.089", "cifar_resnet(depth=1202)", "r2plus1d_18()"):
        assert words in printed


def test_summary_takes_the_net_s_own_arguments(inside):
    arguments = ["summary", "cifar_resnet", "--shortcut", "B", "--depth"]
    status, printed, _ = inside(main, *arguments, "110")
    assert status == 0
    assert "1,730,714 parameters, 0.253 GMAC" in printed
    rows = [line.split() for line in printed.splitlines()]
    assert ["stage3", "8x8x64", "1,315,456"] in rows
    assert inside(main, *arguments, "21")[0] == 2


def test_the_memory_of_a_step_by_its_trace_and_by_the_compiler(inside):
    arguments = ("summary", "cifar_resnet", "--depth", 8, "--batch", 16)
    sizes = []
    for flags, said in (((), "about"), (("--compile",), "by its compiler")):
        status, printed, _ = inside(main, *arguments, *flags)
        assert status == 0
        (size,) = re.findall(rf"a training step of 16 takes {said} ([\d.]+) GiB on cpu", printed)
        sizes.append(float(size))
    assert sizes[0] == pytest.approx(sizes[1], rel=0.2, abs=0.01)
    status, _, error = inside(main, *arguments[:-2], "--compile")
    assert (status, "compile=True: expected --batch too" in error) == (2, True)


def test_nets_of_imagenet_have_a_stem_for_small_images(inside):
    status, printed, _ = inside(
        main, "summary", "resnet18", "--num-classes", 10, "--stem", "small", "--image", 32, 32, 3
    )
    assert status == 0
    assert "11,173,962 parameters, 0.555 GMAC" in printed  # as in pytorch-cifar
    assert ["stem", "32x32x64", "1,856"] in [line.split() for line in printed.splitlines()]
    assert "--stem {published,small}" in inside(main, "summary", "resnetv2_50", "--help")[1]
    for net in ("cifar_resnet", "r3d_18"):
        assert "--stem" not in inside(main, "summary", net, "--help")[1]
    for argument in ("summary", "predict", "evaluate", "export"):
        assert "--stem" in inside(main, argument, "resnet50", "--help")[1]
    assert "--stem" in inside(main, "convert", "--model", "resnet50", "--help")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["summary", "resnet51"], "net 'resnet51': take one of "),
        (["summary"], "net missing: take one of "),
        (
            ["train"],
            "command 'train': take list, summary, predict, evaluate, ensemble, embed, push, convert,",
        ),
    ],
)
def test_an_unknown_command_or_net(arguments, message, inside):
    status, _, error = inside(main, *arguments)
    assert status == 2
    assert message in error


@pytest.mark.parametrize(
    ("name", "line"),
    [("predict", "`predict NET --help` lists the flags."),
     ("convert", "`convert --model NET --help` lists the flags."),
     ("push", "")],
)  # fmt: skip
def test_helps_of_commands_that_take_a_net_say_where_its_flags_are(inside, name, line):
    status, printed, _ = inside(main, name, "--help")
    assert status == 0
    assert printed.endswith(f"\n{line}\n") if line else "lists the flags" not in printed


def test_doctor_finds_the_digits_and_tells_of_what_is_missing(inside, tmp_path, monkeypatch):
    status, printed, error = command("jresnet", "doctor", TFDS_DATA_DIR=str(tmp_path))
    assert status == 0, printed + error
    assert "digits: 1,500 training examples" in printed
    assert "tfds build cifar10" in printed
    assert "nothing is broken" in printed
    assert "oneDNN    not asked for: JRESNET_ONEDNN=1" in printed
    monkeypatch.setenv("TFDS_DATA_DIR", "/proc/nothing")
    status, printed, _ = inside(main, "doctor")
    assert status == 1
    assert "cannot be written" in printed
