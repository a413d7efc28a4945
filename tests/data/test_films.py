"""Frames of video files, written here by PyAV, and files that are damaged or none."""

import os
from pathlib import Path

import numpy as np
import pytest

from jresnet.data.decoders import DecodeError
from jresnet.data.films import as_png, frames, is_film
from jresnet.data.images import decode
from tests.films import moving_square, turn, write_film

av = pytest.importorskip("av", reason="the extra `video` (PyAV) is not installed")


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "mpeg4"), ("a.mp4", "libx264"), ("a.avi", "mjpeg"), ("a.webm", "libvpx-vp9")],
)
def test_frames_are_those_that_were_written_in_their_order(tmp_path, name, codec):
    pictures = moving_square()
    path = write_film(tmp_path / name, pictures, codec)
    assert is_film(path)
    shown = list(frames(path))
    assert len(shown) == len(pictures)
    for ours, written in zip(shown, pictures, strict=True):
        assert ours.dtype == np.uint8
        assert np.abs(ours.astype(int) - written).mean() < 8  # lossy
        # The square is where it was, to a pixel.
        columns = np.flatnonzero(ours[24, :, 0] > 130)
        expected = np.flatnonzero(written[24, :, 0] > 130)
        assert abs(columns[0] - expected[0]) <= 1
        assert abs(columns[-1] - expected[-1]) <= 1


def test_a_frame_as_a_file_is_the_frame():
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3)).astype(np.uint8)
    np.testing.assert_array_equal(decode(as_png(pixels)), pixels)


def test_what_is_no_video_is_told_in_one_line(tmp_path):
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(np.random.default_rng(0).bytes(4000))
    empty = tmp_path / "empty.mp4"
    empty.write_bytes(b"")
    for path in (noise, empty):
        with pytest.raises(DecodeError, match=r"^is no video, or a damaged one: [^\n]+$"):
            list(frames(path))
    with pytest.raises(FileNotFoundError):
        list(frames(tmp_path / "missing.mp4"))


def test_a_truncated_video_gives_the_frames_before_and_is_told(tmp_path):
    whole = write_film(tmp_path / "whole.avi", moving_square(30), "mjpeg")
    content = whole.read_bytes()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(content[: len(content) // 2])
    count = 0
    told = r"^ends after \d+ frames, at .* seconds$|damaged"
    with pytest.raises(DecodeError, match=told):  # noqa: PT012
        for _ in frames(cut):
            count += 1
    assert 5 < count < 30


def test_a_film_held_upright_by_its_tag_is_turned(tmp_path):
    pictures = moving_square(3)
    path = turn(write_film(tmp_path / "phone.mp4", pictures))
    for ours, written in zip(frames(path), pictures, strict=True):
        turned = np.rot90(written, -1)
        assert ours.shape == turned.shape
        assert np.abs(ours.astype(int) - turned).mean() < 8


def test_a_cut_film_that_does_not_count_its_frames_is_told_too(tmp_path):
    whole = write_film(tmp_path / "whole.webm", moving_square(50), "libvpx-vp9")
    assert len(list(frames(whole))) == 50
    cut = tmp_path / "cut.webm"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(DecodeError, match=r"ends after \d+ frames|damaged"):
        list(frames(cut))


def test_names_with_a_colon_and_pipes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_film(tmp_path / "a.mp4", moving_square(3)).rename("10:30.mp4")
    assert len(list(frames(Path("10:30.mp4")))) == 3
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(DecodeError, match=r"^a folder, pipe or device; expected a file$"):
        list(frames(tmp_path / "pipe.mp4"))


def test_only_sound_is_no_video(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        stream.layout = "mono"
        for start in range(4):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.rate, frame.pts = 8000, 1024 * start
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    with pytest.raises(DecodeError, match=r"^has no video$"):
        list(frames(path))
