"""Folders of videos: class folders, and the lists of UCF-101, HMDB-51 and Kinetics."""

import numpy as np
import pytest
from PIL import Image

from jresnet.data.broken import ExampleError
from jresnet.data.clips import Clip, read_clip
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.clip_layouts import find_films
from jresnet.data.sources.clips import Films
from jresnet.data.sources.files import by_number
from jresnet.errors import UsageError


def film(folder, shade=0, frames=6):
    """A video as pictures."""
    folder.mkdir(parents=True)
    for number in range(frames):
        pixels = np.full((12, 16, 3), shade + number, np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03}.png")


def touch(path, text=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def read_splits(folder, number=1):
    splits = find_films(folder, number)
    return {
        split: [(case.path.relative_to(folder).as_posix(), case.label) for case in listed.cases]
        for split, listed in splits.items()
    }


def test_ucf(tmp_path):
    lists = tmp_path / "ucfTrainTestlist"
    touch(lists / "classInd.txt", "1 Archery\n2 Biking\n")
    touch(lists / "trainlist01.txt", "Archery/v_1.avi 1\nBiking/v_2.avi 2\n")
    touch(lists / "testlist01.txt", "Archery/v_3.avi\n")
    touch(lists / "trainlist02.txt", "Archery/v_3.avi 1\n")
    for name in ("Archery/v_1.avi", "Biking/v_2.avi", "Archery/v_3.avi"):
        touch(tmp_path / name)
    assert read_splits(tmp_path) == {
        "train": [("Archery/v_1.avi", "Archery"), ("Biking/v_2.avi", "Biking")],
        "test": [("Archery/v_3.avi", "Archery")],
    }
    assert read_splits(tmp_path, 2) == {"train": [("Archery/v_3.avi", "Archery")]}
    touch(lists / "trainlist01.txt", "../../v_1.avi 1\n")
    with pytest.raises(UsageError, match="expected CLASS/VIDEO"):
        read_splits(tmp_path)


def test_hmdb(tmp_path):
    lists = tmp_path / "testTrainMulti_7030_splits"
    touch(lists / "brush_hair_test_split1.txt", "a.avi 1 \nb.avi 2 \nc.avi 0 \n")
    touch(lists / "wave_test_split1.txt", "d.avi 1\n")
    for name in ("brush_hair/a.avi", "brush_hair/b.avi", "wave/d.avi"):
        touch(tmp_path / name)
    assert read_splits(tmp_path) == {
        "train": [("brush_hair/a.avi", "brush_hair"), ("wave/d.avi", "wave")],
        "test": [("brush_hair/b.avi", "brush_hair")],
    }
    touch(lists / "wave_test_split1.txt", "d.avi 3\n")
    with pytest.raises(UsageError, match="expected VIDEO and 0, 1 or 2"):
        read_splits(tmp_path)


def test_kinetics(tmp_path):
    head = "label,youtube_id,time_start,time_end,split\n"
    touch(tmp_path / "train.csv", head + "abseiling,x-1,10,20,train\nzumba,gone,0,10,train\n")
    touch(tmp_path / "val.csv", head + "abseiling,y_2,7,17,val\n")
    touch(tmp_path / "train" / "abseiling" / "x-1_000010_000020.mp4")
    touch(tmp_path / "val" / "y_2_000007_000017.mp4")
    assert read_splits(tmp_path) == {
        "train": [("train/abseiling/x-1_000010_000020.mp4", "abseiling")],
        "test": [("val/y_2_000007_000017.mp4", "abseiling")],
    }
    (absent,) = find_films(tmp_path)["train"].absent
    assert absent.path == tmp_path / "train" / "gone_000000_000010.mp4"
    assert absent.label in Films(tmp_path).names
    touch(tmp_path / "val.csv", "name,id\na,b\n")
    with pytest.raises(UsageError, match="expected columns label"):
        read_splits(tmp_path)


HEAD = "label,youtube_id,time_start,time_end\n"


@pytest.mark.parametrize(
    ("lists", "taken", "told"),
    [
        # As published: the test list has no labels, and its videos are often not there.
        ({"val": HEAD + "a,v,0,1\n", "test": "youtube_id,time_start,time_end\nt,0,1\n"}, "val", ""),
        ({"val": HEAD + "a,v,0,1\n", "test": HEAD + "a,t,0,1\n"}, "val", ""),
        ({"validate": HEAD + "a,v,0,1\n"}, "val", ""),
        ({"validation": HEAD + "a,gone,0,1\n", "test": HEAD + "a,t,0,1\n"}, "test",
         "validation.csv: none of 1 listed videos is there; expected them in validation/ or val/"),
        ({"val": HEAD + ",v,0,1\n", "test": HEAD + "a,t,0,1\n"}, "test",
         "val.csv: expected columns label, youtube_id, time_start, time_end; test.csv is taken"),
    ],
)  # fmt: skip
def test_the_list_of_kinetics_that_serves_is_tested_on(tmp_path, caplog, lists, taken, told):
    touch(tmp_path / "train.csv", HEAD + "a,x,0,1\n")
    for path in ("train/x", "val/v", "test/t"):
        touch(tmp_path / f"{path}_000000_000001.mp4")
    for name, text in lists.items():
        touch(tmp_path / f"{name}.csv", text)
    (path, label), *others = read_splits(tmp_path)["test"]
    assert (path.split("/")[0], label, others) == (taken, "a", [])
    assert len(caplog.records) == bool(told)
    assert told in caplog.text


def test_of_lists_of_kinetics_that_do_not_serve_the_first_is_told(tmp_path):
    touch(tmp_path / "train.csv", HEAD + "a,x,0,1\n")
    touch(tmp_path / "train" / "x_000000_000001.mp4")
    touch(tmp_path / "val.csv", HEAD + "a,gone,0,1\n")
    touch(tmp_path / "test.csv", "youtube_id\nt\n")
    with pytest.raises(UsageError, match=r"val.csv: none of 1 listed videos is there"):
        find_films(tmp_path)


def test_listed_videos_that_are_not_there_are_named_counted_and_left_out(tmp_path, caplog):
    names = [f"a/{number}" for number in range(9)]
    touch(tmp_path / "trainlist01.txt", "".join(f"{name}.avi 1\n" for name in ("b/0", *names)))
    touch(tmp_path / "testlist01.txt", "a/9.avi\n")
    for name in ("a/0", "a/9", "b/0"):
        film(tmp_path / f"{name}.avi")  # a folder of pictures under the file's name
    films, cut = Films(tmp_path), Clip(2, 1, (8, 8), 12)
    assert films.info().sizes == {"train": 2, "test": 1}
    data = ImageData(films, 2, 1, train_transform=cut, eval_transform=cut, threads=1)
    assert sum(int(batch["valid"].sum()) for batch in data.examples("train")) == 2
    next(iter(data.train()))
    assert len(data.broken()) == 8
    assert data.broken()[0].endswith("a/1.avi: in the list, not in the folder")
    assert caplog.text.count("8 of 10 listed videos of 'train' are absent and left out") == 1
    assert caplog.text.count("in the list, not in the folder") == 5
    touch(tmp_path / "testlist01.txt", "a/10.avi\na/11.avi\n")
    with pytest.raises(UsageError, match=r"none of 2 listed videos is there, .*a/10.avi"):
        Films(tmp_path).info()


def test_frames_come_in_the_order_in_which_they_were_counted(tmp_path):
    for number in range(12):  # as text frame10 and frame11 would be the third and the fourth
        Image.new("RGB", (4, 4), (20 * number,) * 3).save(tmp_path / f"frame{number}.png")
    shades = [int(frame[0, 0, 0]) for frame in read_clip(tmp_path, 12, 1, 0)]
    assert shades == [20 * number for number in range(12)]
    names = ["a10b2", "a2b10", "a2b9", "10", "a", "9", "a02b9"]
    assert sorted(names, key=by_number) == ["9", "10", "a", "a02b9", "a2b9", "a2b10", "a10b2"]


def test_no_layout_is_told(tmp_path):
    with pytest.raises(UsageError, match="expected videos as train/CLASS/VIDEO"):
        find_films(tmp_path)
    with pytest.raises(UsageError, match="no such folder"):
        find_films(tmp_path / "missing")


def test_views_of_a_video_and_a_broken_one_that_is_named(tmp_path, caplog):
    for label, shade in (("a", 0), ("b", 100)):
        for number in range(2):
            film(tmp_path / "train" / label / str(number), shade)
        film(tmp_path / "test" / label / "0", shade)
    (tmp_path / "train" / "b" / "empty").mkdir()
    films = Films(tmp_path, views=3)
    assert films.info().sizes == {"train": 5, "test": 6}
    source = films.open("test")
    assert [(source[i]["video"], source[i]["place"]) for i in range(4)] == [
        (0, 0), (0, 0.5), (0, 1), (1, 0)
    ]  # fmt: skip
    thirds = Films(tmp_path, views=2, crops=3)
    assert thirds.info().sizes == {"train": 5, "test": 12}
    example = thirds.open("test")[7]
    assert (example["video"], example["place"], example["across"]) == (1, 0, 0.5)
    cut = Clip(2, 1, (8, 8), 12)
    data = ImageData(films, 5, 6, train_transform=cut, eval_transform=cut, threads=1)
    batch = next(iter(data.train()))
    assert batch["image"].shape == (5, 2, 8, 8, 3)
    assert "empty: a folder without frames" in caplog.text
    # Frames 0 and 1, 2 and 3, 4 and 5 of each.
    (tested,) = data.examples("test")
    shades = tested["image"][:, :, 0, 0, 0].tolist()
    assert shades == [[0, 1], [2, 3], [4, 5], [100, 101], [102, 103], [104, 105]]
    assert tested["label"].tolist() == [0, 0, 0, 1, 1, 1]
    assert tested["video"].tolist() == [0, 0, 0, 1, 1, 1]


def test_a_damaged_file_is_told_as_a_video(tmp_path):
    pytest.importorskip("av", reason="the extra `video` (PyAV) is not installed")
    for label in "ab":
        film(tmp_path / "train" / label / "0")
    (tmp_path / "train" / "b" / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(4000))
    cut = Clip(2, 1, (8, 8), 12)
    data = ImageData(Films(tmp_path), 2, 2, train_transform=cut, eval_transform=cut, threads=1)
    ones = data.examples("train")
    assert sum(int(batch["valid"].sum()) for batch in ones) == 2
    (line,) = data.broken()
    assert "noise.mp4: not a readable video (is no video, or a damaged one: " in line


def test_frames_of_sixteen_bits_are_refused_since_each_would_be_stretched_by_itself(tmp_path):
    for number in range(3):
        grey = np.full((4, 4), 1000 * number, np.uint16)
        Image.fromarray(grey).save(tmp_path / f"{number}.png")
    with pytest.raises(ExampleError, match=r"its frame 0\.png has more than 8 bits"):
        read_clip(tmp_path, 3, 1, 0)
