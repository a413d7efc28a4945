"""Folders of images and boxes in every layout that people have, made up and tiny.

Every set has the same three images to train on and one to test: `a` with a cat and a dog, `b`
without objects, `c` with a cat, and `d` with a dog. Boxes are x1 y1 x2 y2 in continuous pixels.
"""

import json

import numpy as np
from PIL import Image

SIZE = 20, 30  # height, width
BOXES = {
    "a": [("cat", (2.0, 3.0, 12.0, 9.0)), ("dog", (15.0, 5.0, 28.0, 19.0))],
    "b": [],
    "c": [("cat", (0.0, 0.0, 30.0, 20.0))],
    "d": [("dog", (4.0, 4.0, 10.0, 16.0))],
}
SPLITS = {"train": ("a", "b", "c"), "val": ("d",)}


def picture(path, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(path)


def xml(path, objects, size=SIZE, difficult=()):
    """Corners that begin at 1 and are inside."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = size
    lines = [f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"]
    for number, (name, (x1, y1, x2, y2)) in enumerate(objects):
        corners = zip(("xmin", "ymin", "xmax", "ymax"), (x1 + 1, y1 + 1, x2, y2), strict=True)
        box = "".join(f"<{corner}>{value:g}</{corner}>" for corner, value in corners)
        lines.append(
            f"<object><name>{name}</name><difficult>{int(number in difficult)}</difficult>"
            f"<bndbox>{box}</bndbox><part><name>x</name><bndbox>{box}</bndbox></part></object>"
        )
    path.write_text(f"<annotation>{''.join(lines)}</annotation>")


def voc(folder):
    lists = folder / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for split, names in SPLITS.items():
        (lists / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
        for name in names:
            picture(folder / "JPEGImages" / f"{name}.jpg")
            xml(folder / "Annotations" / f"{name}.xml", BOXES[name])
    (lists / "trainval.txt").write_text("a 1\nb -1\nc  1\nd  1\n")
    return folder


def voc_plain(folder, pictures="images", notes="annotations"):
    for split, names in SPLITS.items():
        for name in names:
            picture(folder / split / pictures / f"{name}.png")
            xml(folder / split / notes / f"{name}.xml", BOXES[name])
    return folder


def voc_undivided(folder, pictures="JPEGImages", notes="Annotations"):
    """No lists: images and XML files alone."""
    for name, objects in BOXES.items():
        picture(folder / pictures / f"{name}.jpg")
        xml(folder / notes / f"{name}.xml", objects)
    return folder


def voc_lower_case(folder):
    return voc_undivided(folder, "images", "annotations")


def voc_mixed_case(folder):
    return voc_undivided(folder, "Images", "Annotations")


def yolo_undivided(folder):
    return yolo(folder, "images", "labels")


def coco_train_alone(folder):
    """One split, as Roboflow exports it where nobody asks for more."""
    path = folder / "train" / "_annotations.coco.json"
    save(path, content(list(BOXES)))
    for name in BOXES:
        picture(folder / "train" / f"{name}.jpg")
    return folder


def one_json(folder, name, pictures):
    """All images of a set in one file of COCO's format, whatever its name."""
    save(folder / name, content(list(BOXES)))
    for image in BOXES:
        picture(folder / pictures / f"{image}.jpg")
    return folder


def cvat(folder):
    return one_json(folder, "annotations/instances_default.json", "images/default")


def label_studio(folder):
    """With another JSON file beside it, which is no list of boxes."""
    save(folder / "notes.json", {"images": []})
    return one_json(folder, "result.json", "images")


def roboflow_undivided(folder):
    return one_json(folder, "_annotations.coco.json", "")


def any_name(folder):
    return one_json(folder, "annotations/my boxes.json", "photos")


UNDIVIDED = (
    voc_undivided, voc_lower_case, voc_mixed_case, yolo_undivided, coco_train_alone, cvat,
    label_studio, roboflow_undivided, any_name,
)  # fmt: skip


def voc_beside(folder):
    return voc_plain(folder, "", "")


CATEGORIES = [
    {"id": 90, "name": "dog", "supercategory": "animal"},
    {"id": 7, "name": "cat", "supercategory": "animal"},
]


def content(names, categories=CATEGORIES, **fields):
    """COCO's JSON. Ids of images are 11, 12, ... and those of annotations 101, 102, ..."""
    categories = [dict(one) for one in categories]
    ids = {one["name"]: one["id"] for one in categories}
    images, annotations = [], []
    for number, name in enumerate(names, 11):
        height, width = SIZE
        images.append({"id": number, "file_name": f"{name}.jpg", "height": height, "width": width})
        for label, (x1, y1, x2, y2) in BOXES[name]:
            one = {"id": 101 + len(annotations), "image_id": number, "category_id": ids[label]}
            one |= {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1) / 2}
            annotations.append(one | {"iscrowd": 0, "segmentation": []} | fields)
    return {"images": images, "annotations": annotations, "categories": categories}


def save(path, stored):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(stored))


def coco(folder, kind="instances", pictures="{}2017", table="annotations/{kind}_{split}2017.json"):
    for split, names in SPLITS.items():
        save(folder / table.format(kind=kind, split=split), content(names))
        for name in names:
            picture(folder / pictures.format(split) / f"{name}.jpg")
    return folder


def coco_of_sizes(folder, sizes):
    """COCO's layout with an image of each of `sizes` in either split, a cat in its upper left."""
    for split in ("train", "val"):
        images, annotations = [], []
        for number, (height, width) in enumerate(sizes, 1):
            name = f"{number}.jpg"
            picture(folder / f"{split}2017" / name, (height, width))
            images.append({"id": number, "file_name": name, "height": height, "width": width})
            box = [2.0, 3.0, width / 2, height / 2]
            annotations.append(
                {"id": number, "image_id": number, "category_id": 7, "bbox": box, "iscrowd": 0}
                | {"area": box[2] * box[3], "segmentation": []}
            )
        table = {"images": images, "annotations": annotations, "categories": CATEGORIES}
        save(folder / "annotations" / f"instances_{split}2017.json", table)
    return folder


def coco_images(folder):
    return coco(folder, pictures="images/{}2017")


def coco_in_root(folder):
    return coco(folder, pictures="images", table="{kind}_{split}.json")


def coco_beside(folder):
    return coco(folder, pictures="{}/images", table="{split}.json")


def roboflow(folder):
    coco(folder, pictures="{}", table="{split}/_annotations.coco.json")
    (folder / "val").rename(folder / "valid")
    path = folder / "train" / "_annotations.coco.json"
    stored = json.loads(path.read_text())
    stored["categories"].insert(0, {"id": 0, "name": "animal", "supercategory": "none"})
    path.write_text(json.dumps(stored))
    return folder


def share(box):
    """cx cy w h in shares of the image's sides."""
    x1, y1, x2, y2 = box
    height, width = SIZE
    numbers = (x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height
    return " ".join(f"{number:.9f}" for number in numbers)


def yolo(folder, pictures="images/{}", labels="labels/{}"):
    for split, names in SPLITS.items():
        for name in names:
            picture(folder / pictures.format(split) / f"{name}.jpg")
            path = folder / labels.format(split) / f"{name}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = [f"{('cat', 'dog').index(x)} {share(box)}\n" for x, box in BOXES[name]]
            if lines:  # an image without objects often has no file
                path.write_text("".join(lines))
    (folder / "classes.txt").write_text("cat\ndog\n")
    return folder


def yolo_yaml(folder):
    yolo(folder, "{}/images", "{}/labels")
    (folder / "classes.txt").unlink()
    (folder / "data.yaml").write_text(
        "train: ../train/images\nval: ../val/images\nnc: 2\nnames: ['cat', 'dog']\n"
    )
    return folder


def yolo_named(folder):
    """Folders of other names, which the YAML file tells, as Ultralytics has them."""
    yolo(folder, "images/{}_x", "labels/{}_x")
    (folder / "classes.txt").unlink()
    (folder / "data.yaml").write_text(
        "path: ../somewhere\ntrain: images/train_x\nval: images/val_x\nnames:\n  0: cat\n  1: dog\n"
    )
    return folder


def tables(folder, header="image,x1,y1,x2,y2,class"):
    for split, names in SPLITS.items():
        lines = [header]
        for name in names:
            picture(folder / split / f"{name}.jpg")
            boxes = [(*box, label) for label, box in BOXES[name]] or [("",) * 5]
            lines += [",".join(map(str, (f"{name}.jpg", *box))) for box in boxes]
        (folder / f"{split}.csv").write_text("\n".join(lines) + "\n")
    return folder


def tables_inside(folder):
    """Tables with a size and other names, as Roboflow exports them."""
    for split, names in SPLITS.items():
        lines = ["filename,width,height,class,xmin,ymin,xmax,ymax"]
        for name in names:
            picture(folder / split / f"{name}.jpg")
            boxes = [(label, *box) for label, box in BOXES[name]] or [("",) * 5]
            lines += [",".join(map(str, (f"{name}.jpg", 30, 20, *box))) for box in boxes]
        (folder / split / "_annotations.csv").write_text("\r\n".join(lines))
    return folder


def one_table(folder):
    lines = ["Split;Filename;Label;XMin;YMin;XMax;YMax"]
    for split, names in SPLITS.items():
        for name in names:
            picture(folder / "images" / f"{name}.jpg")
            boxes = [(label, *box) for label, box in BOXES[name]] or [("",) * 5]
            lines += [";".join(map(str, (split, f"{name}.jpg", *box))) for box in boxes]
    (folder / "annotations.csv").write_text("\n".join(lines))
    return folder


LAYOUTS = (
    voc, voc_plain, voc_beside, coco, coco_images, coco_in_root, coco_beside, roboflow, yolo,
    yolo_yaml, yolo_named, tables, tables_inside, one_table,
)  # fmt: skip
