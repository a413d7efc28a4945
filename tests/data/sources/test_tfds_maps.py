"""Label maps out of TFDS sets that the tests prepare."""

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from jresnet.data.augment.geometry import IGNORED
from jresnet.data.broken import BrokenExampleError
from jresnet.data.class_weights import pixel_counts
from jresnet.data.sources.label_maps import LabelMaps
from jresnet.data.sources.tfds_maps import TfdsMaps, find_maps
from jresnet.errors import UsageError


class TinyPets(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Images of mixed size with a map of the values 1 to 3, as oxford_iiit_pet's trimaps, and 255."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(num_classes=37),
            "segmentation_mask": tfds.features.Image(shape=(None, None, 1)),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(4), "test": self._generate_examples(3)}

    def _generate_examples(self, size: int):
        for index in range(size):
            labels = np.full((5, 6 + index), 1 + index % 3, np.uint8)
            labels[0], labels[:, 0] = 3, 255
            image = np.repeat(labels[..., None], 3, -1)
            yield (
                index,
                {
                    "image": Image.fromarray(image),
                    "label": 0,
                    "segmentation_mask": Image.fromarray(labels),
                },
            )


class TwoMaps(TinyPets, skip_registration=True):
    """A set with a second image of one channel, of which nothing says which is the map."""

    def _info(self) -> tfds.core.DatasetInfo:
        single = tfds.features.Image(shape=(None, None, 1))
        features = {"image": tfds.features.Image(shape=(None, None, 3)), "a": single, "b": single}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _generate_examples(self, size: int):
        for index in range(size):
            grey = Image.fromarray(np.zeros((4, 4), np.uint8))
            yield index, {"image": grey.convert("RGB"), "a": grey, "b": grey}


def written(builder, folder):
    builder(data_dir=folder, file_format="array_record").download_and_prepare()
    return folder


def test_maps_are_read_beside_their_images(tmp_path):
    maps = find_maps("tiny_pets", written(TinyPets, tmp_path), first=1, classes=("pet", "no", "?"))
    assert isinstance(maps, TfdsMaps)
    info = maps.info()
    assert (info.num_classes, info.class_of, info.sizes) == (3, "pixel", {"train": 4, "test": 3})
    for source in (maps.open("train"), maps.open("train", encoded=True)):
        example = source[2]
        assert isinstance(example["image"], bytes) is source.encoded
        assert (example["map"] == source.labels(2)).all()
        assert (example["map"][:, 0] == IGNORED).all()
        assert (example["map"][0, 1:] == 2).all()
    # The image shows the map's values, whatever the order that TFDS wrote the examples in.
    for index in range(4):
        example = maps.open("train")[index]
        labels = np.where(example["map"] == IGNORED, 255, example["map"] + 1)
        assert (example["image"][..., 0] == labels).all()
    counts = pixel_counts(maps.open("train", encoded=True), 3)
    assert counts.sum(0).tolist() == [4 * (5 + 8), 4 * 6, 4 * 7 + 5 + 6 + 7 + 8]


def test_classes_are_those_that_occur(tmp_path):
    folder = written(TinyPets, tmp_path)
    assert find_maps("tiny_pets", folder).info().class_names == ("0", "1", "2", "3")
    assert find_maps("tiny_pets", folder, first=1).info().class_names == ("0", "1", "2")
    foreground = find_maps("tiny_pets", folder, foreground=True, ignored=())
    assert foreground.info().class_names == ("background", "foreground")
    assert (foreground.open("test")[0]["map"] == 1).all()


def test_a_value_that_is_no_class_names_its_example(tmp_path):
    maps = find_maps("tiny_pets", written(TinyPets, tmp_path), classes=("a", "b"))
    with pytest.raises(BrokenExampleError, match=r"tiny_pets train example \d: value 3 in the map"):
        [maps.open("train")[index] for index in range(4)]


def test_folders_come_first_and_other_sets_are_refused(tmp_path):
    (tmp_path / "oxford_iiit_pet").mkdir()
    assert isinstance(find_maps(tmp_path / "oxford_iiit_pet"), LabelMaps)
    assert isinstance(find_maps("oxford_iiit_pet"), TfdsMaps)
    assert isinstance(find_maps("nobody_knows_this"), LabelMaps)
    with pytest.raises(UsageError, match="'cifar10': expected one image and one label map"):
        find_maps("cifar10", tmp_path).info()
    with pytest.raises(UsageError, match="one channel; it has a, b, image"):
        find_maps("two_maps", written(TwoMaps, tmp_path)).info()
