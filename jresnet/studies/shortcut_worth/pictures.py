"""Applications whose nets are classifiers of pictures, or start from one."""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jresnet.data.info import Dataset
from jresnet.data.normalisation import Normalize
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.array_file import ArrayFile
from jresnet.data.sources.few import PerClass
from jresnet.data.sources.folder import Folder
from jresnet.errors import UsageError
from jresnet.experiment import Experiment, Result
from jresnet.models import zoo
from jresnet.models.heads import Classifier
from jresnet.recipes import he2015
from jresnet.recipes.styling import StyleRecipe
from jresnet.studies.feature_net import FeatureNet
from jresnet.studies.shortcut_worth.application import Case, layers, shortened
from jresnet.studies.stylising.pictures import read_photos, sample_content
from jresnet.studies.transfer.start import starting_net
from jresnet.studies.transfer.trainings import Setting
from jresnet.tasks.style_losses import FeatureLoss
from jresnet.tasks.stylise_picture import prepared
from jresnet.weights.run import read_variables

SOURCE_STEPS = 200
LEARNT, TESTED = 1000, 100  # pictures of each class of CIFAR-10
LAYERS, CONTENT = ("stem", "stage1", "stage2", "stage3"), "stage2"
JUDGE_SEED = 1000
XRAYS = "pneumonia/pneumonia_balanced_28.npz"
WAVE = "styles/great_wave_hokusai_1831.jpg"


def classify(case: Case) -> Experiment:
    """The digits by the recipe of the degradation study."""
    data = ImageData("digits", 128, seed=case.seed)
    net = case.twin(zoo.cifar_resnet(layers(case.blocks), data.info().num_classes))
    return shortened(he2015(net, data, case.steps, case.seed))


def diagnose(case: Case) -> Experiment:
    """Chest X-rays, pneumonia or normal, as `experiments.finetune` trains from scratch."""
    return shortened(_scratch(case, ArrayFile(case.folder / XRAYS), None))


def _scratch(case: Case, pictures: Dataset, size: int | None) -> Experiment:
    """The training from scratch of the study of transfer."""
    depth = {"depth": layers(case.blocks)}
    card, _, net = starting_net(None, "cifar_resnet", depth, pictures.info().num_classes, (), None)
    setting = Setting(
        net=card, source=None, model=case.twin(net), bit=False, steps=case.steps, batch_size=None,
        rate=None, scratch_rate=0.01, weight_decay=5e-4, factors=(), size=size, flip=None,
        statistics="imagenet",
    )  # fmt: skip
    training = setting.experiments(ImageData(pictures, 1, seed=case.seed), ["scratch"])["scratch"]
    return dataclasses.replace(training, keep_outputs=())


def _cifar(case: Case) -> ImageData:
    """A fifth of CIFAR-10's training pictures, and a tenth of its test pictures."""
    whole = Folder(case.folder / "cifar10_jpeg")
    part = PerClass(PerClass(whole, LEARNT), TESTED, split="test")
    return ImageData(part, 64, seed=case.seed)


@functools.cache
def _normalize(folder: Path) -> Normalize:
    """The normalisation of that part, which is read once for it."""
    return _cifar(Case(1, True, 0, 1, folder)).normalize()


def source_label(case: Case) -> str:
    """The label of the CIFAR-10 training that a case starts from."""
    return f"cifar10/{case.label}"


def sources(case: Case) -> Mapping[str, Experiment]:
    """The CIFAR-10 training that a case starts from."""
    data = _cifar(case)
    net = case.twin(zoo.cifar_resnet(layers(case.blocks), data.info().num_classes))
    training = shortened(he2015(net, data, SOURCE_STEPS, case.seed, 0.05))
    return {source_label(case): training}


def backbone(label: str, results: Mapping[str, Result]) -> dict[str, Any]:
    """The variables of a trained net's backbone. Raises UsageError if its training diverged."""
    if why := results[label].diverged:
        raise UsageError(f"{label}: expected a trained net to start from, {why}")
    variables = read_variables(results[label].folder / "checkpoints")
    return {kind: {"backbone": tree["backbone"]} for kind, tree in variables.items()}


def transfer(case: Case) -> Experiment:
    """Cats and dogs by a net of CIFAR-10, fine-tuned as `experiments.finetune` does."""
    fresh = _scratch(case, Folder(case.folder / "cats_dogs"), 32)
    task: Any = fresh.task
    return shortened(
        dataclasses.replace(
            fresh,
            task=dataclasses.replace(task, normalize=_normalize(case.folder)),
            start=functools.partial(backbone, source_label(case)),
        )
    )


def _feature_loss(net: Classifier, case: Case) -> FeatureLoss:
    return FeatureLoss(net.backbone, _normalize(case.folder), LAYERS, CONTENT)


def stylise(case: Case) -> Experiment:
    """A photograph in the style of a woodcut, by the features of a net of CIFAR-10."""
    photo = sample_content(128)
    (style,) = read_photos("data", (case.folder / WAVE,), 128)
    recipe = StyleRecipe(case.steps)
    net = case.twin(zoo.cifar_resnet(layers(case.blocks), 10))
    criterion = recipe.weigh(_feature_loss(net, case))
    judge = _feature_loss(zoo.plain(zoo.cifar_resnet(8, 10)), case)
    body = FeatureNet(judge.backbone, {}, judge.normalize, 3).with_random_weights(JUDGE_SEED)
    painted, content = [style.pixels], photo.pixels[None]
    judged = judge, prepared(judge, body.variables, painted, content)

    def build(variables: dict[str, Any]) -> Experiment:
        return recipe.experiment(
            criterion, variables, painted, content, (photo.name,), judge=judged, seed=case.seed
        )

    def constants(results: Mapping[str, Result]) -> Any:
        variables = backbone(source_label(case), results)
        return build({kind: tree["backbone"] for kind, tree in variables.items()}).constants

    random = FeatureNet(net.backbone, {}, criterion.normalize, 3).with_random_weights(0)
    return shortened(dataclasses.replace(build(random.variables), constants=constants))
