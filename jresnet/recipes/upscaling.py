"""Recipes of super-resolution: published ones, and one for small sets on a small machine."""

import dataclasses
from collections.abc import Hashable, Mapping
from typing import Any, Literal

import optax

from jresnet.data.augment.resize import Kind
from jresnet.data.info import Dataset
from jresnet.data.patches import RandomPair, RandomPatch, WholePictures
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.pictures import Pictures, Unsplit, enough
from jresnet.experiment import Experiment
from jresnet.models import zoo
from jresnet.models.heads.upsample import Discriminator, Upscaler
from jresnet.recipes.changes import with_changes
from jresnet.tasks.picture_losses import Absolute, PictureLoss, Squared
from jresnet.tasks.upscale import Upscale, tiles_for
from jresnet.tasks.upscale_adversarial import JUDGE, UpscaleAdversarially
from jresnet.train.loop import Plan
from jresnet.train.optim import scheduled
from jresnet.train.schedules import ramped_cosine

RecipeName = Literal["small", "srresnet", "edsr"]
LOSSES: dict[str, PictureLoss] = {"l1": Absolute(), "l2": Squared()}


@dataclasses.dataclass(frozen=True)
class UpscaleRecipe:
    """How nets that enlarge pictures are trained, by Adam.

    - patch: side of the reduced patches in pixels; those of the truth are `scale` times as large.
    - loss: what is minimised, `l1` or `l2`.
    - schedule: `cosine` after a ramp of a tenth of the steps, `constant`, or `halved` every
      `halving` steps.
    - learning_rate: peak rate of the net.
    - judge_rate: peak rate of the judge, the second of two players, which has the same schedule and
      an Adam of its own; None for that of the net. SRGAN has 1e-4 for both (section 3.2), `small`
      for the judge alone: its net begins at 2e-3.
    - judge_width: channels of the judge's first convolution, of which all others are multiples: 64 in
      SRGAN. `small` has 16, since on a CPU a judge of 64 takes most of each step.
    - eval_batch_size: whole pictures at a time; filled up where devices do not divide it.
    """

    steps: int
    batch_size: int
    learning_rate: float
    patch: int
    loss: Literal["l1", "l2"] = "l1"
    schedule: Literal["cosine", "constant", "halved"] = "cosine"
    halving: int = 200_000
    eval_batch_size: int = 1
    judge_rate: float | None = None
    judge_width: int = 64

    def data(self, pictures: Dataset, scale: int, **fields: Any) -> ImageData:
        """The set's splits "train" and "test" through the recipe's transforms.

        Where the set has reduced pictures of a split, these come with the large ones.
        """
        folders = isinstance(pictures, Pictures | Unsplit)
        size, paired = scale * self.patch, folders and pictures.reduced is not None
        whole = folders and pictures.test_reduced is not None
        return ImageData(
            enough(pictures, self.batch_size),
            self.batch_size,
            self.eval_batch_size,
            train_transform=RandomPair(size, scale=scale) if paired else RandomPatch(size),
            eval_transform=WholePictures(scale=scale, paired=whole),
            fill=True,
            **fields,
        )

    def experiment(
        self,
        net: Upscaler,
        data: ImageData,
        criterion: PictureLoss | None = None,
        constants: Any = None,
        start: Mapping[str, Any] | None = None,
        judge: Discriminator | None = None,
        kind: Kind = "matlab",
        ensemble: bool = False,
        side: int = 192,
        adversarial: float | None = None,
    ) -> Experiment:
        """The training of `net`, from `start` or fresh.

        Args:
            net: an `Upscaler` of the scale that the data are for.
            data: as `data` gives it.
            criterion: instead of the recipe's loss.
            constants: what `criterion` needs.
            start: variables to start from.
            judge: the second player, if there is to be one.
            kind: whose bicubic reduction.
            ensemble: also measure the self-ensemble.
            side: pixels of a tile of a large picture.
            adversarial: weight of what the judge says, by default that of SRGAN.
        """
        fields: dict[str, Any] = {
            "model": net,
            "criterion": criterion or LOSSES[self.loss],
            "kind": kind,
            "tiles": tiles_for(net, side),
            "ensemble": ensemble,
        }
        if judge is None:
            task = Upscale(**fields)
        else:
            if adversarial is not None:
                fields["adversarial"] = adversarial
            task = UpscaleAdversarially(**fields, judge=judge)
        every = max(1, self.steps // 4)
        plan = Plan(
            self.steps,
            data.seed,
            save_every=every,
            eval_every=every,
            log_every=max(1, self.steps // 100),
            final_splits=("test",),
        )
        return Experiment(
            task, data, self.optimizer(judge is not None), plan, start, constants=constants
        )

    def judge(self) -> Discriminator:
        """The second player."""
        width = self.judge_width
        widths = [multiple * width for multiple in (1, 1, 2, 2, 4, 4, 8, 8)]
        return zoo.srgan_discriminator(widths=tuple(widths), dense=16 * width)

    def optimizer(self, two_players: bool = False) -> optax.GradientTransformation:
        """Adam; with two players one for each, so that neither knows of the other."""
        rate = self.rate()
        if not two_players:
            return scheduled(optax.adam(rate), rate)
        judge = optax.adam(self.rate(self.judge_rate))
        players: dict[Hashable, Any] = {"model": optax.adam(rate), "judge": judge}
        return scheduled(optax.partition(players, player), rate)

    def rate(self, peak: float | None = None) -> optax.Schedule:
        """The rate at each step, of the net or with another peak."""
        peak = self.learning_rate if peak is None else peak
        if self.schedule == "cosine":
            return ramped_cosine(peak, self.steps)
        if self.schedule == "constant":
            return optax.constant_schedule(peak)
        drops = {n: 0.5 for n in range(self.halving, self.steps, self.halving)}
        return optax.piecewise_constant_schedule(peak, drops)

    def changed(self, **changes: Any) -> "UpscaleRecipe":
        """The recipe with other fields; those that are None stay."""
        return with_changes(self, changes)


def player(params: Mapping[str, Any]) -> dict[str, str]:
    """The player that each of the task's parameters belongs to."""
    return {name: "judge" if name == JUDGE else "model" for name in params}


RECIPES: dict[RecipeName, UpscaleRecipe] = {
    # 91 small pictures on two CPU cores.
    "small": UpscaleRecipe(1500, 16, 2e-3, 24, judge_rate=1e-4, judge_width=16),
    # Ledig et al. 2017 (arXiv:1609.04802, section 3.2): 96-pixel patches of the truth at x4, MSE.
    "srresnet": UpscaleRecipe(1_000_000, 16, 1e-4, 24, "l2", "constant"),
    # Lim et al. 2017 (arXiv:1707.02921, section 4.2): patches of 48, the rate halved every 200k steps.
    "edsr": UpscaleRecipe(300_000, 16, 1e-4, 48, "l1", "halved"),
}


def recipe_at(name: RecipeName, scale: int) -> UpscaleRecipe:
    """A recipe at a scale; small has fewer steps above x2, where each takes twice as long."""
    recipe = RECIPES[name]
    return recipe.changed(steps=900) if name == "small" and scale > 2 else recipe
