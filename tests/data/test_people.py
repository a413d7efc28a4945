"""Folders of faces with people held out, and files of pairs: as they are, and as they go wrong."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jresnet.data.face_pairs import drawn_pairs, read_pairs
from jresnet.data.sources.people import People, picture_numbers
from jresnet.errors import UsageError


def write(root: Path, **people: int):
    for number, (name, count) in enumerate(people.items()):
        (root / name).mkdir()
        for n in range(1, count + 1):
            Image.new("L", (6, 8), 10 * number + n).save(root / name / f"{n:02}.pgm")
    return root


@pytest.fixture
def four(tmp_path):
    return write(tmp_path, ann=3, bob=2, cid=2, dan=3)


def test_people_are_held_out_whole(four):
    people = People(four, 2)
    assert people.people == (("ann", "bob"), ("cid", "dan"))
    assert people.info().sizes == {"train": 5, "test": 5}
    assert people.info().image_shape == (8, 6, 1)
    train, test = people.open("train"), people.open("test")
    assert [train[i]["label"] for i in range(5)] == [0, 0, 0, 1, 1]
    assert [test[i]["label"] for i in range(5)] == [2, 2, 3, 3, 3]
    assert np.asarray(test[4]["image"]).max() == 33
    assert test.describe(0).endswith("cid/01.pgm")
    assert People(four, ("bob",)).people == (("ann", "cid", "dan"), ("bob",))


@pytest.mark.parametrize("held_out", [0, 4, ("eve",), ("ann", "bob", "cid", "dan")])
def test_both_sides_need_people(four, held_out):
    with pytest.raises(UsageError, match=r"held_out=.*expected"):
        People(four, held_out).info()


def test_single_pictures_are_told_and_names_that_differ_in_case_refused(tmp_path, caplog):
    write(tmp_path, ann=2, bob=1)
    assert People(tmp_path, 1).info().num_classes == 1
    assert "1 of 2 people" in caplog.text
    (tmp_path / "Ann").mkdir()
    Image.new("L", (6, 8)).save(tmp_path / "Ann" / "1.pgm")
    if len(list(tmp_path.iterdir())) == 3:  # a file system that tells them apart
        with pytest.raises(UsageError, match="differ in case"):
            People(tmp_path, 1).info()


def test_the_two_folders_that_differ_in_case_are_named(tmp_path):
    write(tmp_path, Ann=2, Bob=2)
    for name in ("ann", "bob"):
        (tmp_path / name).mkdir(exist_ok=True)
        Image.new("L", (6, 8)).save(tmp_path / name / "9.pgm")
    if len(list(tmp_path.iterdir())) < 4:
        pytest.skip("this file system does not tell upper from lower case")
    with pytest.raises(UsageError, match="folders 'Ann' and 'ann' differ in case"):
        People(tmp_path, 1).info()


def test_csv_and_lfw_s_file_say_the_same(four, tmp_path):
    files = People(four, 2).open("test").files
    assert picture_numbers(files)["dan", 3] == 4
    table, lfw = tmp_path / "pairs.csv", tmp_path / "pairs.txt"
    table.write_text(
        "fold,name1,index1,name2,index2,same\n0,cid,1,cid,2,1\n0,cid,1,dan,3,False\n"
        "1,dan,1,dan,2,true\n1,cid,2,dan,2,0\n"
    )
    lfw.write_text("2\t1\ncid\t1\t2\ncid\t1\tdan\t3\ndan\t1\t2\ncid\t2\tdan\t2\n")
    for path in (table, lfw):
        pairs = read_pairs(path, files)
        assert pairs.left.tolist() == [0, 0, 2, 1]
        assert pairs.right.tolist() == [1, 4, 3, 3]
        assert pairs.same.tolist() == [True, False, True, False]
        assert pairs.fold.tolist() == [0, 0, 1, 1]


TABLE = "fold,name1,index1,name2,index2,same\n"
SCORED = "expected 2 or more, with pairs of one person and of two"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TABLE + "0,cid,1,cid,9,1\n1,cid,1,dan,1,0\n", "line 2: no picture 9 of 'cid'"),
        (TABLE + "0,cid,1,dan,1,1\n1,cid,1,dan,1,0\n", "line 2: .*; expected one person"),
        (TABLE + "0,cid,one,dan,1,0\n", "line 2: expected fold"),
        (TABLE + "0,cid,1,cid,2,yes\n", "line 2: expected fold"),
        (TABLE, "no pairs"),
        ("1\t1\ncid\t1\t2\n", "1 pairs; expected 2"),
        ("1\t1\ncid\t1\t2\ncid\t1\t2\n", "line 3: expected name i name j"),
        ("", "line 1: expected the numbers"),
        ("-1\t-1\ncid\t1\t2\ncid\t1\tdan\t1\n", "line 1: expected the numbers"),
        ("0\t1\n", "line 1: expected the numbers"),
        # These would train to the end and have no score.
        (TABLE + "3,cid,1,cid,2,1\n3,cid,1,dan,1,0\n", rf"pairs: 1 fold; {SCORED}"),
        (TABLE + "0,cid,1,cid,2,1\n1,dan,1,dan,2,1\n", rf"2 folds, each pair of one person; {SCORED}"),
        (TABLE + "0,cid,1,dan,2,0\n", rf"1 fold, each pair of two people; {SCORED}"),
        # pairsDevTest.txt of LFW's View 1, to choose models by.
        ("1\ncid\t1\t2\ncid\t1\tdan\t3\n", rf"pairs: 1 fold; {SCORED}"),
    ],
)  # fmt: skip
def test_a_faulty_file_of_pairs_is_refused_with_its_line(four, tmp_path, text, message):
    (tmp_path / "pairs").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_pairs(tmp_path / "pairs", People(four, 2).open("test").files)


def test_drawn_pairs_are_balanced_in_each_fold():
    labels = np.repeat(np.arange(8), 5)
    pairs = drawn_pairs(labels, 5)
    assert pairs.same.mean() == 0.5
    np.testing.assert_array_equal(labels[pairs.left] == labels[pairs.right], pairs.same)
    for fold in range(5):
        assert pairs.same[pairs.fold == fold].mean() == 0.5
    assert len({*zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)}) == len(pairs.left)
    np.testing.assert_array_equal(drawn_pairs(labels, 5).left, pairs.left)
    with pytest.raises(UsageError, match="pairs=0: expected"):
        drawn_pairs(np.arange(9))


def test_of_many_pictures_not_all_pairs_are_looked_at():
    labels = np.random.default_rng(0).integers(
        0, 2000, 3000
    )  # nearly all have another of their own
    pairs = drawn_pairs(labels, 10, 500)
    assert len(pairs.left) == 1000
    assert pairs.same.mean() == 0.5
    np.testing.assert_array_equal(labels[pairs.left] == labels[pairs.right], pairs.same)
    assert (pairs.left < pairs.right).all()
    assert len({*zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)}) == 1000
