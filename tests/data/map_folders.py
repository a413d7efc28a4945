"""Folders of images and label maps in every layout that people have, made up and tiny."""

import numpy as np
from PIL import Image

from jresnet.data.augment.geometry import IGNORED


def picture(path, size=(8, 10), seed=0, **save):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(path, **save)


def label_map(path, labels, palette=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(labels, np.uint8))
    if palette:
        image = image.convert("P") if image.mode == "P" else _with_palette(image)
    image.save(path)


def _with_palette(image):
    coloured = Image.new("P", image.size)
    coloured.putdata(list(np.asarray(image).reshape(-1)))
    coloured.putpalette([value for i in range(256) for value in (i * 7 % 256, i * 5 % 256, i)])
    return coloured


def halves(size=(8, 10), border=False):
    labels = np.zeros(size, np.uint8)
    labels[:, size[1] // 2 :] = 1
    if border:
        labels[0] = IGNORED
    return labels


def plain(folder, names=("a", "b", "c"), maps="labels", size=(8, 10)):
    for split in ("train", "val"):
        for name in names:
            picture(folder / split / "images" / f"{name}.jpg", size)
            label_map(folder / split / maps / f"{name}.png", halves(size))
    return folder


def ade(folder, size=(8, 10)):
    for split in ("training", "validation"):
        picture(folder / "images" / split / "x.jpg", size)
        label_map(folder / "annotations" / split / "x.png", halves(size) + 1)
    return folder


def coco(folder, size=(8, 10)):
    for split in ("train2017", "val2017"):
        picture(folder / "images" / split / "1.jpg", size)
        label_map(folder / "stuffthingmaps" / split / "1.png", halves(size))
    return folder


def voc(folder, size=(8, 10), augmented=False):
    """One image to train on, or with the augmented maps two, one to test, and one in no list."""
    for name in ("2007_1", "2007_2", "2007_3", "2008_4"):
        picture(folder / "JPEGImages" / f"{name}.jpg", size)
    for name in ("2007_1", "2007_2"):
        labels = halves(size, border=True)
        label_map(folder / "SegmentationClass" / f"{name}.png", labels, palette=True)
    sets = folder / "ImageSets" / "Segmentation"
    sets.mkdir(parents=True)
    (sets / "train.txt").write_text("2007_1\n")
    (sets / "val.txt").write_text("2007_2\n")
    if augmented:
        for name in ("2007_1", "2007_3"):
            label_map(folder / "SegmentationClassAug" / f"{name}.png", halves(size, border=True))
        lines = (
            f"/JPEGImages/{n}.jpg /SegmentationClassAug/{n}.png\n" for n in ("2007_1", "2007_3")
        )
        (sets / "train_aug.txt").write_text("".join(lines))
    return folder


def cityscapes(folder, size=(8, 10)):
    """The maps of `test` are withheld: theirs have none of the benchmark's classes."""
    for split, name in (("train", "ulm/1"), ("val", "bonn/2"), ("test", "berlin/3")):
        picture(folder / "leftImg8bit" / split / f"{name}_leftImg8bit.png", size)
        labels = np.where(halves(size) == 1, 26, 7)  # car and road
        labels[0] = 4  # static, which the benchmark ignores
        labels = np.zeros_like(labels) if split == "test" else labels
        label_map(folder / "gtFine" / split / f"{name}_gtFine_labelIds.png", labels)
    return folder


def instances(folder, dtype=np.uint8, largest=7, size=(8, 10)):
    """Grey images whose maps number objects from 1 on, and 0 elsewhere."""
    for split in ("train", "test"):
        labels = np.zeros(size, dtype)
        labels[2:4, 2:5], labels[5:7, 5:9] = 1, largest
        for kind, pixels in (("images", halves(size) * 200), ("labels", labels)):
            (folder / split / kind).mkdir(parents=True)
            Image.fromarray(pixels).save(folder / split / kind / "a.png")
    return folder


def beside(folder, pictures, maps, ending=""):
    """Two images to train on and one to test, in folders whose names have `{}` for the split."""
    for split, names in (("train", ("a", "b")), ("val", ("c",))):
        for name in names:
            picture(folder / pictures.format(split) / f"{name}.jpg")
            label_map(folder / maps.format(split) / f"{name}{ending}.png", halves())
    return folder


def many(folder, count=200, size=(8, 10)):
    """A set so large that one or two broken examples are few."""
    for number in range(count):
        picture(folder / "train" / "images" / f"{number:03}.png", size)
        label_map(folder / "train" / "labels" / f"{number:03}.png", halves(size))
    picture(folder / "val" / "images" / "0.png", size)
    label_map(folder / "val" / "labels" / "0.png", halves(size))
    return folder
