"""BiT-HyperRule: how long, how large and how strongly to fine-tune, from the data alone."""

import dataclasses

import jax.numpy as jnp
import optax


@dataclasses.dataclass(frozen=True)
class HyperRule:
    """The choices of Kolesnikov et al. 2019 (arXiv:1912.11370, section 3.3) for a data set.

    SGD with momentum 0.9 and without weight decay, batches of 512. `boundaries` are the end of a
    linear warm-up, three steps at which the rate falls by 10, and the last step. Images are
    resized to `resize` pixels and cropped to `crop`; `mixup` is the alpha of mixup. A fall comes
    one step after its boundary, as in the authors' code.
    """

    boundaries: tuple[int, int, int, int, int]
    resize: int
    crop: int
    mixup: float
    learning_rate: float = 0.003
    batch_size: int = 512

    @property
    def steps(self) -> int:
        return self.boundaries[-1]

    def scaled(self, steps: int) -> "HyperRule":
        """The same in so many steps, its boundaries in proportion."""
        scaled = (steps * boundary // self.steps for boundary in self.boundaries)
        warmup, one, two, three, last = scaled
        return dataclasses.replace(self, boundaries=(max(1, warmup), one, two, three, last))

    def schedule(self, peak: float | None = None) -> optax.Schedule:
        """The learning rate at each step; `peak` in place of the rule's."""
        peak = self.learning_rate if peak is None else peak
        warmup, *falls, _ = self.boundaries

        def rate(step):
            fallen = sum(jnp.where(step > fall, 1, 0) for fall in falls)
            return peak * jnp.minimum(step / warmup, 1) * 0.1**fallen

        return rate


def hyperrule(examples: int, height: int, width: int) -> HyperRule:
    """The rule for so many training examples, of images of this size as they come.

    Fewer than 20,000 examples: 500 steps; fewer than 500,000: 10,000 steps; else 20,000. Mixup
    from 20,000 examples on. Images of less than 96x96 pixels are cropped to 128, others to 480.
    """
    if examples < 20_000:
        boundaries = (100, 200, 300, 400, 500)
    elif examples < 500_000:
        boundaries = (500, 3_000, 6_000, 9_000, 10_000)
    else:
        boundaries = (500, 6_000, 12_000, 18_000, 20_000)
    resize, crop = (160, 128) if height * width < 96 * 96 else (512, 480)
    return HyperRule(boundaries, resize, crop, mixup=0.0 if examples < 20_000 else 0.1)
