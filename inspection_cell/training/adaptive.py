"""Which training pictures are drawn: more of those that the network still gets wrong.

Robot keypoints from artificial images by adaptive sampling (Sec. III-C of that paper): the bins of a drawn variable are
categorical with a Dirichlet prior; the pictures of highest loss are taken as observations of bins that are needed, and
the posterior is again Dirichlet, with their counts added.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspection_cell.training.synth.appearance import LIGHT_BINS, TEXTURE_BINS
from inspection_cell.training.synth.scene import Weights
from inspection_cell.training.synth.stream import Batch
from inspection_cell.training.synth.views import VIEW_BINS

BINS = (VIEW_BINS, LIGHT_BINS, TEXTURE_BINS)


@dataclass(frozen=True)
class AdaptiveSettings:
    """How far the losses steer what is drawn.

    Attributes:
        hardest: share of a batch that is taken as observed.
        prior: pseudo-observations of each bin at the beginning.
        memory: what is left of the counts after each batch: what was hard at first may be easy later.
        least: share of an even distribution that always stays, so that nothing is forgotten.
    """

    hardest: float = 0.25
    prior: float = 20.0
    memory: float = 0.98
    least: float = 0.4


class AdaptiveSampler:
    """Keeps a Dirichlet distribution over the bins of viewpoint, light and texture."""

    def __init__(self, settings: AdaptiveSettings, seed: int) -> None:
        self._settings, self._rng = settings, np.random.default_rng(seed)
        self._counts = [np.zeros(n) for n in BINS]

    def tell(self, batch: Batch, losses: NDArray[np.float64]) -> None:
        """The losses (n,) of a batch's pictures."""
        hardest = np.argsort(-losses)[: max(1, round(self._settings.hardest * len(losses)))]
        for counts, bins in zip(self._counts, batch.bins[hardest].T, strict=True):
            counts *= self._settings.memory
            counts += np.bincount(bins, minlength=len(counts))

    def weights(self) -> Weights:
        """A draw of how often each bin comes."""
        least = self._settings.least
        drawn = [self._rng.dirichlet(self._settings.prior + counts) for counts in self._counts]
        return Weights(*(least / len(d) + (1 - least) * d for d in drawn))
