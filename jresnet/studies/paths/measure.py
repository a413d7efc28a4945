"""The gradients of paths, and the lengths that carry them."""

import numpy as np
from tqdm import tqdm

from jresnet.analysis.chain import chain
from jresnet.analysis.paths import PathGradients
from jresnet.studies.subjects import Subject


def measure(subject: Subject, *, samples: int, examples: int, seed: int) -> np.ndarray:
    """Gradient norms `[lengths, samples]` of paths of 0, 1, ... blocks.

    Args:
        subject: the net and its data.
        samples: random paths of each length.
        examples: training examples whose mean loss is differentiated.
        seed: seed of both draws.
    """
    batch = subject.batches("train", examples, examples, seed)[0]
    net = chain(subject.classifier)
    gradients = PathGradients(net, subject.variables, batch)
    rng = np.random.default_rng(seed)
    lengths = range(len(net.blocks) + 1)
    total = len(lengths) * samples
    with tqdm(total=total, desc="paths", unit="path", disable=None) as bar:
        return np.stack([gradients.norms(k, samples, rng, bar.update) for k in lengths])


def central(shares: np.ndarray) -> tuple[int, int]:
    """The symmetric range of lengths of 95 % of the paths."""
    count = len(shares) - 1
    first = next(
        k for k in reversed(range(count // 2 + 1)) if shares[k : count - k + 1].sum() > 0.95
    )
    return first, count - first


def decay(norms: np.ndarray) -> float:
    """The factor of the norm per block, by least squares on the logarithm of the mean norm."""
    means = norms.mean(1)
    kept = means > 0
    return float(np.exp(np.polyfit(np.flatnonzero(kept), np.log(means[kept]), 1)[0]))
