"""Applications with faces, small pictures made large, clips and games."""

import dataclasses
import functools
from pathlib import Path

from jresnet.data.sources.moving_digits import MovingDigits
from jresnet.data.sources.pictures import Pictures
from jresnet.data.worlds.named import world_named
from jresnet.experiment import Experiment
from jresnet.models import zoo
from jresnet.models.heads.policy import ActorCritic
from jresnet.recipes.games import RECIPES as GAMES
from jresnet.recipes.recognition import RECIPES as FACES
from jresnet.recipes.upscaling import RECIPES as UPSCALING
from jresnet.recipes.video import RECIPES as VIDEO
from jresnet.studies.deep_agents.trainings import HIDDEN, encoder
from jresnet.studies.recognition.nets import WIDTHS
from jresnet.studies.recognition.sets import Faces, find_faces
from jresnet.studies.shortcut_worth.application import Case, shortened
from jresnet.studies.upscaling import nets as upscalers
from jresnet.studies.video.nets import small as clip_net
from jresnet.studies.video.trainings import parts_of

SCALE = 2  # times that pictures are made larger
WIDTH = 8  # channels of an agent's encoder


def recognise(case: Case) -> Experiment:
    """Faces of strangers by an IResNet, as `experiments.recognize` trains it."""
    faces = _faces(case.folder / "orl_faces")
    recipe = FACES["small"].changed(steps=case.steps)
    depths = (case.blocks,) * len(WIDTHS)
    net = case.twin(zoo.iresnet(depths, recipe.features, recipe.dropout, WIDTHS))
    data = dataclasses.replace(recipe.data(faces.dataset), seed=case.seed)
    return shortened(recipe.experiment(net, data, faces.pairs, 1, faces.further, 1))


@functools.cache
def _faces(folder: Path) -> Faces:
    return find_faces(folder, files=(folder / "pairs.csv",), aligned=True)


def upscale(case: Case) -> Experiment:
    """Pictures twice as large by a small SRResNet, as `experiments.upscale` trains it."""
    recipe = UPSCALING["small"].changed(steps=case.steps)
    net = upscalers.small(SCALE, case.blocks)
    net = net if case.residual else upscalers.plain_twin(net)
    return shortened(
        recipe.experiment(net, recipe.data(_pictures(case.folder / "sr"), SCALE, seed=case.seed))
    )


@functools.cache
def _pictures(folder: Path) -> Pictures:
    return Pictures(folder)


def classify_clips(case: Case) -> Experiment:
    """Digits and the way that they move by a 3-D net, as `experiments.video` trains it."""
    recipe, videos = VIDEO["small"], MovingDigits()
    info = videos.info()
    net = case.twin(clip_net(info.num_classes, case.blocks))
    data = recipe.data(videos, seed=case.seed)
    whole = recipe.experiment(net, data, parts=parts_of(info.class_names))
    epoch = max(1, case.steps // recipe.epochs)  # of a shorter training with the same schedule
    fewer = dataclasses.replace(whole, optimizer=recipe.make_optimizer(epoch))
    return shortened(fewer, steps=epoch * recipe.epochs)


def play(case: Case) -> Experiment:
    """Breakout by an agent that sees, as `experiments.deep_agents` trains it."""
    recipe = GAMES["minutes"].changed(frames=case.steps)
    world = world_named("breakout")
    net = case.twin(ActorCritic(encoder(case.blocks, WIDTH), world.actions, HIDDEN))
    return shortened(recipe.experiment(net, world, case.seed))
