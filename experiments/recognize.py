"""Faces: whether two pictures show one person, by residual nets, and by their plain twins.

    python -m experiments.recognize
    python -m experiments.recognize --dataset people/ --pairs people/pairs.csv
    python -m experiments.recognize --dataset casia/ --recipe casia --net iresnet50 --aligned \\
        --pairs lfw.bin cfp_fp.bin agedb_30.bin --no-plain

Without a data set it draws faces of made-up people. A folder holds one folder a person. Train on
faces only of people who consented, and where it is lawful.
"""

import functools
from pathlib import Path

from jresnet.errors import UsageError
from jresnet.experiment import Study
from jresnet.recipes.recognition import RECIPES, RecognitionRecipeName
from jresnet.run.arguments import Seed
from jresnet.run.launch import launch
from jresnet.studies.recognition.nets import NetName, family
from jresnet.studies.recognition.report import Facts, conclude
from jresnet.studies.recognition.sets import find_faces
from jresnet.studies.recognition.trainings import LossName, in_words, margin_of, trainings


def recognize(
    dataset: Path | None = None,
    pairs: tuple[Path, ...] = (),
    test_people: Path | None = None,
    held_out: int = 10,
    aligned: bool = False,
    landmarks: Path | None = None,
    recipe: RecognitionRecipeName = "small",
    net: NetName = "small",
    plain: bool = True,
    weights: Path | None = None,
    loss: LossName | None = None,
    margin: float | None = None,
    combined: tuple[float, ...] = (),
    scale: float | None = None,
    sampled: float | None = None,
    groups: int = 1,
    gallery: int = 1,
    flip_test: bool = True,
    steps: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    seeds: int = 1,
    workers: int = 0,
    seed: Seed = 0,
) -> Study:
    """Embeddings whose angles tell people apart: residual nets and their plain twins by one recipe.

    small: an IResNet of ten layers for some hundred pictures, in minutes on two CPU cores. ArcFace
    with s = 16 and m = 0.3; AdamW, the rate ramped up over a tenth of the steps, then half a cosine;
    grey pictures of 28 x 23, each brought to one mean and deviation, moved, turned, scaled and
    mirrored at random; a moving average of the weights is evaluated.

    casia: CASIA-WebFace, 32,000 steps of 512 aligned faces of 112 x 112, s = 64, m = 0.5, SGD from
    0.1, a tenth of it from 20,000 and from 28,000 steps on (Deng et al. 2019, arXiv:1801.07698,
    section 3.1). ms1mv2: the same in 180,000 steps, a tenth from 100,000 and 160,000 on.

    ms1mv3: insightface's training of R100 (arcface_torch/configs/ms1mv3_r100.py): 25 epochs of
    batches of 1,024 (8 GPUs of 128), SGD from 0.2, falling to 0 as a polynomial. Its power of 2 is
    from memory. Published, by nets that see 10,000 people and more:

    - casia, --net iresnet50: LFW 99.53, CFP-FP 95.56, AgeDB-30 95.15 %.
    - ms1mv3, --net iresnet100: IJB-C 96.85 % TAR at FAR 1e-4 (insightface).

    The classes' matrix lies over the devices of --model-parallel, and --sampled 0.1 is Partial FC
    (arXiv:2203.15565).

    Deviations: none of the published recipes has been run here. The paper's batch is over 4 GPUs
    with BatchNorm of each GPU's own part. insightface clips the net's gradient to length 5, which
    ms1mv3 does not; newer versions of its configuration may differ. IJB-C, whose protocol is of
    sets of pictures, is not evaluated.

    Args:
        dataset: folder of people, one folder each, or of tar shards named train-*.tar; without it,
            faces of made-up people.
        pairs: files of pairs to test on: insightface's .bin, any number, whose pictures take the
            place of people held out; or one CSV with fold,name1,index1,name2,index2,same or LFW's
            pairs.txt, of two folds or more. Without them pairs are drawn.
        test_people: another folder of people to test on, such as LFW.
        held_out: people of the data set, the last by name, that are tested on and not trained on.
        aligned: the pictures are aligned already; without it a warning says that none is.
        landmarks: table of a picture's name and x and y of five points, eyes, nose and corners of
            the mouth, in each line; faces are aligned by them. For recipes whose pictures are square.
        recipe: which of the above.
        net: small, or a published net, the ResNets with an embedding in the place of their head.
        plain: also train the plain twin, unless weights are given: these had shortcuts.
        weights: checkpoint in torch's layout, such as insightface's backbone.pth, to start from.
        loss: arcface, cosface, or softmax of the cosines, instead of the recipe's.
        margin: an angle for arcface, a cosine for cosface, instead of the recipe's, or 0.35.
        combined: m1 m2 m3 of the combined margin (the paper's equation 4), cos(m1 t + m2) - m3, in
            the place of loss and margin.
        scale: s, by which cosines are multiplied, instead of the recipe's.
        sampled: share of the people that a step compares with (Partial FC). Each group takes at
            least as many as the batch has faces, so that many groups take more than the share; a
            line at the start says how many.
        groups: parts of the people that sampling draws from alike; a multiple of --model-parallel,
            whether or not it divides the people.
        gallery: pictures of each test person, the first, in which the others are looked for; 0 for
            none. Files of .bin do not say whom they show.
        flip_test: an embedding in the test is the sum of those of the picture and of its mirror
            image; without it that of the picture alone.
        steps: training steps instead of the recipe's.
        batch_size: pictures a training step instead of the recipe's.
        learning_rate: peak rate instead of the recipe's.
        seeds: repetitions.
        workers: processes that decode.
    """
    chosen = RECIPES[recipe].changed(
        steps=steps, batch_size=batch_size, learning_rate=learning_rate, sampled=sampled,
        flip_test=flip_test,
    )  # fmt: skip
    chosen = chosen.changed(margin=margin_of(chosen, loss, margin, combined, scale))
    if landmarks is not None and chosen.size[0] != chosen.size[1]:
        raise UsageError(
            f"landmarks={landmarks}: expected none with recipe {recipe}, whose pictures are "
            f"{chosen.size[0]} x {chosen.size[1]} and not square"
        )
    faces = find_faces(dataset, test_people, pairs, held_out, aligned, landmarks)
    nets = family(net, chosen, plain and weights is None)
    repetitions = range(seed, seed + seeds)
    runs = trainings(chosen, faces, nets, repetitions, groups, gallery, weights, workers)
    title = "made-up people" if dataset is None else dataset.name
    shown = gallery if faces.named else 0
    facts = Facts(
        title, faces.pairs, faces.further, in_words(loss, combined), shown, faces.named, flip_test
    )
    shortened = functools.partial(conclude, {}, facts)
    return Study(runs, functools.partial(conclude, runs, facts), shortened)


if __name__ == "__main__":
    launch(recognize)
