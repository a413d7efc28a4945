"""Clips of films that are written here: their frames, their place in time, and what is broken."""

import contextlib
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jresnet.data import clips
from jresnet.data.broken import ExampleError
from jresnet.data.clips import SLACK, Clip, places, read_clip, read_length
from jresnet.data.decoders import DecodeError
from jresnet.data.film_length import _measured
from jresnet.data.films import frames
from jresnet.data.info import Info
from jresnet.errors import UsageError
from tests.films import moving_square, turn, write_film

av = pytest.importorskip("av", reason="the extra `video` (PyAV) is not installed")
RNG = np.random.default_rng(0)


def numbers(clip):
    """The number in `moving_square` of each frame."""
    return [round(float(np.flatnonzero(one[24, :, 0] > 130)[0]) / 2) for one in clip]


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    pictures = moving_square(60, 48, 160)
    coded = [("a.mp4", "libx264"), ("b.avi", "mpeg4"), ("c.webm", "libvpx-vp9")]
    written = [write_film(folder / name, pictures, codec) for name, codec in coded]
    (folder / "frames").mkdir()
    for number, pixels in enumerate(pictures):
        Image.fromarray(pixels).save(folder / "frames" / f"{number:05}.png")
    return [*written, folder / "frames"]


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize(
    ("frames", "stride", "place", "expected"),
    [
        (4, 1, 0, [0, 1, 2, 3]),
        (4, 2, 0, [0, 2, 4, 6]),
        (3, 1, 1, [57, 58, 59]),  # sought, not read from the start
        (3, 5, 0.5, [24, 29, 34]),
        (5, 20, 0, [0, 20, 40, 59, 59]),  # longer than the film
    ],
)
def test_frames_of_a_clip(films, number, frames, stride, place, expected):
    shown = numbers(read_clip(films[number], frames, stride, place))
    assert len(shown) == frames
    assert np.abs(np.subtract(shown, expected)).max() <= 1


def test_a_variable_frame_rate_is_read_by_time(tmp_path):
    """Frames at 0, 1, ..., 9 and then 20, 30, ..., 100 hundredths of a second."""
    stamps = [*range(10), *range(20, 101, 10)]
    pictures = moving_square(len(stamps), 48, 96)
    path = tmp_path / "slower.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=100)
        stream.height, stream.width, stream.pix_fmt = 48, 96, "yuv420p"
        stream.bit_rate = 4_000_000
        for stamp, pixels in zip(stamps, pictures, strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = stamp
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    rate = read_length(path).rate
    moments = 100 * (np.arange(40) + SLACK) / rate  # hundredths of a second
    held = np.searchsorted(stamps, moments + 1e-6, side="right") - 1
    assert numbers(read_clip(path, 40, 1, 0)) == held.tolist()
    assert len(set(held.tolist())) > 3


class Counted:
    """A container of PyAV that counts the frames which it decodes."""

    def __init__(self, container, count):
        self.container, self.count = container, count

    def __getattr__(self, name):
        return getattr(self.container, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.container.close()

    def decode(self, stream):
        for frame in self.container.decode(stream):
            self.count.append(frame)
            yield frame


def test_a_clip_at_the_end_decodes_few_of_200_frames(tmp_path, monkeypatch):
    path = write_film(tmp_path / "long.mp4", moving_square(200, 48, 432))  # a key frame in each 12
    count = []
    counted = types.SimpleNamespace(open=lambda name: Counted(av.open(name), count), error=av.error)
    monkeypatch.setattr(clips, "library", lambda *_: counted)
    assert numbers(read_clip(path, 4, 1, 1)) == [196, 197, 198, 199]
    assert 4 <= len(count) <= 12 + 4 + 2
    count.clear()
    assert numbers(read_clip(path, 4, 1, 0.5))[0] == 98
    assert 4 <= len(count) <= 12 + 4 + 2


@pytest.mark.parametrize("name", ["none.mp4", "none.mkv"])
def test_a_film_of_zero_frames_is_told(tmp_path, name):
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        container.start_encoding()
    with pytest.raises(
        ExampleError, match=r"^(a video without frames|has no video|is no video[^\n]*)$"
    ):
        read_clip(tmp_path / name, 4, 1, 0.5)


def test_a_clip_of_a_film_held_upright_by_its_tag_is_turned(tmp_path):
    pictures = moving_square(12)
    path = turn(write_film(tmp_path / "phone.mp4", pictures))
    for place, first in ((0, 0), (1, 9)):
        clip = read_clip(path, 3, 1, place)
        for ours, written in zip(clip, pictures[first : first + 3], strict=True):
            turned = np.rot90(written, -1)
            assert ours.shape == turned.shape
            assert np.abs(ours.astype(int) - turned).mean() < 8


def test_frames_without_time_stamps_follow_at_the_mean_rate(monkeypatch):
    frames = [
        types.SimpleNamespace(time=None, is_corrupt=False, pixels=np.full((1, 1, 3), n))
        for n in range(10)
    ]
    stream = types.SimpleNamespace(start_time=None, time_base=0.1, average_rate=10)
    container = types.SimpleNamespace(
        streams=types.SimpleNamespace(video=[stream]),
        seek=lambda *_, **__: None,
        decode=lambda _: iter(frames),
    )
    av = types.SimpleNamespace(open=lambda _: contextlib.nullcontext(container))
    monkeypatch.setattr(clips, "upright", lambda frame: frame.pixels)
    seen = clips._decoded(av, Path("x.avi"), [0.0, 0.4, 0.7], 0.01, seek=False)
    assert [int(frame[0, 0, 0]) for frame in seen or ()] == [0, 4, 7]
    assert clips._decoded(av, Path("x.avi"), [0.4], 0.01, seek=True) is None


def test_what_is_broken_is_told(tmp_path):
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(RNG.bytes(4000))
    (tmp_path / "none").mkdir()
    with pytest.raises(DecodeError, match="is no video, or a damaged one"):
        read_clip(noise, 4, 1, 0)
    with pytest.raises(ExampleError, match="a folder without frames"):
        read_clip(tmp_path / "none", 4, 1, 0)
    with pytest.raises(FileNotFoundError):
        read_clip(tmp_path / "missing.mp4", 4, 1, 0)


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.webm", "libvpx-vp9", {}),
        ("a.mkv", "libx264", {}),
        ("a.flv", "flv1", {}),
        ("a.mp4", "libx264", {"movflags": "faststart"}),
    ],
)
def test_a_film_that_ends_before_its_promise_is_refused(tmp_path, name, codec, options):
    whole = write_film(tmp_path / name, moving_square(60, 48, 160), codec, options=options)
    content = whole.read_bytes()
    assert read_length(whole).total == pytest.approx(60 / 25, abs=0.05)
    cut = tmp_path / f"cut{whole.suffix}"
    cut.write_bytes(content[: len(content) * 6 // 10])
    for place in (0, 1):  # the first frames are there, and they are told too
        with pytest.raises(DecodeError, match=r"^ends at [01]\.\d\d of 2\.4\d? seconds$"):
            read_clip(cut, 4, 1, place)
    cut.write_bytes(content)  # the whole file under the same name
    assert len(read_clip(cut, 4, 1, 1)) == 4


def test_the_end_of_a_film_is_read_once(tmp_path):
    path = write_film(tmp_path / "a.mkv", moving_square(12, 48, 96))
    before = _measured.cache_info()
    for place in (0.0, 0.5, 1.0):
        read_clip(path, 2, 1, place)
    after = _measured.cache_info()
    assert (after.misses - before.misses, after.hits - before.hits) == (1, 2)


@pytest.mark.parametrize(
    ("name", "codec", "index"), [("a.mpg", "mpeg2video", None), ("a.avi", "mpeg4", b"idx1")]
)
def test_a_film_that_holds_more_than_it_promises_is_seen_to_its_end(tmp_path, name, codec, index):
    """MPEG program streams and AVI files whose index is lost: FFmpeg estimates their duration."""
    path = write_film(tmp_path / name, moving_square(60, 48, 160), codec)
    if index is not None:
        content = path.read_bytes()
        path.write_bytes(content[: content.rindex(index)])
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert float(stream.duration * stream.time_base) < 2.3
    assert read_length(path).total == pytest.approx(60 / 25, abs=0.05)
    shown = numbers(read_clip(path, 3, 1, 1))
    assert np.abs(np.subtract(shown, [57, 58, 59])).max() <= 1


@pytest.mark.parametrize("name", ["late.mkv", "late.mp4"])
def test_a_film_whose_clock_begins_late_is_whole(tmp_path, name):
    path = write_film(tmp_path / name, moving_square(12, 48, 96), first=250)
    assert read_length(path).total == pytest.approx(12 / 25)
    assert numbers(read_clip(path, 3, 1, 1)) == [9, 10, 11]
    assert len(list(frames(path))) == 12


def test_the_transform_cuts_all_frames_of_a_clip_alike(films):
    info = Info("films", 2, ("a", "b"), (None, None, None, 3), class_of="clip")
    clip = Clip(4, 2, (32, 40), 48, random=True)
    example = {"path": str(films[3]), "label": 1, "video": 7}
    arrays = clip(example, np.random.default_rng(3))
    again = clip(example, np.random.default_rng(3))
    np.testing.assert_array_equal(arrays["image"], again["image"])
    spec = clip.spec(info)
    assert {k: (v.shape, v.dtype) for k, v in arrays.items()} == {
        k: (v.shape, v.dtype) for k, v in spec.items()
    }
    still = Clip(4, 0.01, (32, 40), 48, random=True)(example, np.random.default_rng(3))["image"]
    assert (still == still[:1]).all()
    with pytest.raises(UsageError, match="expected videos"):
        clip.spec(Info("pictures", 2, image_shape=(8, 8, 3)))
    with pytest.raises(UsageError, match="resize=30"):
        Clip(4, 2, (32, 40), 30).spec(info)
    with pytest.raises(ExampleError, match="label 5"):
        clip.validate({**arrays, "label": np.int32(5)}, info)


def test_parts_along_the_longer_side_and_frames_in_a_random_order(films):
    example = {"path": str(films[3]), "label": 1, "video": 7, "place": 0.0}
    clip = Clip(6, 2, (32, 32), 32)
    left, middle, right = (
        clip({**example, "across": across}, RNG)["image"] for across in (0.0, 0.5, 1.0)
    )
    np.testing.assert_array_equal(middle, clip(example, RNG)["image"])
    # The square lies at the left end of 160 pixels when the film begins.
    assert [int(part.max()) > 180 for part in (left, middle, right)] == [True, False, False]
    control = Clip(6, 2, (32, 32), 32, shuffled=True)
    one, other = (control({**example, "across": 0.0}, RNG)["image"] for _ in range(2))
    np.testing.assert_array_equal(one, other)  # in evaluation the order is kept
    assert (one != left).any()
    assert sorted(f.tobytes() for f in one) == sorted(f.tobytes() for f in left)


def test_views_lie_evenly():
    assert places(1) == (0.5,)
    assert places(3) == (0, 0.5, 1)
    with pytest.raises(UsageError, match="views=0"):
        places(0)


@pytest.mark.slow
def test_three_hundred_clips_leave_no_memory_behind(films):
    import resource

    grown = []
    for _ in range(2):  # the first ones load the codecs and fill the allocator's pools
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number in range(300):
            read_clip(films[number % 3], 8, 2, number / 300)
        grown.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    assert grown[1] < 4_000  # KiB on Linux: a frame is 23
