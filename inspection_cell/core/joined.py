"""One score of a component from all views that judged it, as sure as views that err together allow.

Each view's score is its probability that the component is missing or wrong. With the log odds l_v of m views, each cut
to what one view may say at most, and r the views' correlation,

    joined log odds = (sum of l_v) / (1 + (m - 1) r)

Independent views (r = 0) multiply their odds; views that always err together (r = 1) say what one of them says on the
average. In between, m views are worth as many independent ones as a clustered sample is (L. Kish, "Survey Sampling",
1965, design effect). For log odds with Gaussian errors, r the correlation of any two, that is exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

SUREST = 1e-3
"""No view is believed to be surer than this: whatever one says, a few others can say otherwise."""


def joined_score(scores: Sequence[float], correlation: float, lost: int = 0) -> float:
    """The score of a component.

    Args:
        scores: of the views that judged it, each from 0 (there and right) to 1; at least one.
        correlation: r, from 0 to 1.
        lost: views that might have judged it and did not. They count as saying that it is there, as surely as a view
            can: what was lost never proves a defect.
    """
    count = len(scores) + lost
    odds = math.fsum(_log_odds(score) for score in scores) + lost * _log_odds(0.0)
    return 1 / (1 + math.exp(-odds / (1 + (count - 1) * correlation)))


def is_held_back(scores: Sequence[float], correlation: float, limit_uncertain: float, limit_defect: float) -> bool:
    """Whether a component does not pass: by its joined score, or because one view by itself shows a defect."""
    return joined_score(scores, correlation) > limit_uncertain or max(scores) > limit_defect


def _log_odds(score: float) -> float:
    """Of a score, cut to what one view may say."""
    p = min(max(score, SUREST), 1 - SUREST)
    return math.log(p / (1 - p))
