"""Limits of the presence check for this cell: what good parts that it has seen say of the limits set on renderings.

A cell's pictures differ from renderings in their own way, the same for every part: print, light, a camera's sharpness.
What good parts score shows it. Where they come near a limit of the model's card, a component gets limits of its own,
but never one under which missing components of the renderings were accepted.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inspection_cell.core.joined import is_held_back, joined_score
from inspection_cell.core.plan import CheckKind, ExpectedCheck
from inspection_cell.core.view import Alignment
from inspection_cell.motion.config import BoxConfig
from inspection_cell.presence.package import PresenceCard
from inspection_cell.presence.station import PresenceStation
from inspection_cell.recipe.recipe import Recipe
from inspection_cell.records.record import InspectionRecord, view_image
from inspection_cell.records.store import RecordStore

DEVIATIONS = 3.0
"""A limit is at least so many standard deviations above the good parts' mean, in log odds."""
FEWEST_PARTS = 10

Progress = Callable[[int, int, str], None]
"""Called with what is done, of how much, and what it is."""


@dataclass(frozen=True)
class ComponentLimits:
    """What was found for one component.

    Attributes:
        uncertain, defect: its limits.
        good: the good parts' joined scores.
        moved: whether the limits are others than the card's.
        held_back: how many of the good parts do not pass even so.
    """

    uncertain: float
    defect: float
    good: tuple[float, ...]
    moved: bool
    held_back: int


def limits_for(card: PresenceCard, good: Sequence[Sequence[float]]) -> ComponentLimits:
    """Limits of one component from good parts, the scores of each one's views; of fewer than 10 parts, the card's.

    Both limits are moved alike, in log odds.
    """
    joined = [joined_score(scores, card.correlation) for scores in good]
    by = 0.0
    if len(good) >= FEWEST_PARTS:
        odds = np.array([_odds(score) for score in joined])
        wanted = max(float(odds.max()), float(odds.mean() + DEVIATIONS * odds.std(ddof=1)))
        by = max(0.0, min(wanted, _odds(card.limit_missing)) - _odds(card.limit_uncertain))
    uncertain, defect = card.limit_uncertain, card.limit_defect
    if by:
        uncertain, defect = (_score(_odds(limit) + by) for limit in (uncertain, defect))
    held_back = sum(is_held_back(scores, card.correlation, uncertain, defect) for scores in good)
    return ComponentLimits(uncertain, defect, tuple(joined), by > 0, held_back)


def commission_presence(
    recipe: Recipe,
    recipe_path: Path,
    store: RecordStore,
    records: Sequence[InspectionRecord],
    tool_boxes: Sequence[BoxConfig],
    cache: Path,
    progress: Progress | None = None,
) -> dict[str, ComponentLimits]:
    """Judges recorded good parts and gives each component its limits.

    Raises:
        PresenceModelError, CadError, RenderError; ImageDamaged.
    """
    station = PresenceStation(recipe, recipe_path, tool_boxes, cache)
    try:
        good: dict[str, list[list[float]]] = defaultdict(list)
        for number, record in enumerate(records):
            for component, scores in _scores(station, recipe, store, record).items():
                good[component].append(scores)
            if progress is not None:
                progress(number + 1, len(records), "components of good parts")
        names = [component.name for component in recipe.presence.components] if recipe.presence else []
        return {name: limits_for(station.model.card, good[name]) for name in names}
    finally:
        station.close()


def _scores(
    station: PresenceStation, recipe: Recipe, store: RecordStore, record: InspectionRecord
) -> Mapping[str, list[float]]:
    """By component, the scores of the views that judged it."""
    alignments: dict[str, Alignment] = {a.view_id: a for a in record.alignments if a.accepted}
    found: dict[str, list[float]] = defaultdict(list)
    for view in record.views:
        stored = view_image(record, view.view_id)
        if view.view_id not in recipe.inspection_views or stored is None or view.view_id not in alignments:
            continue
        image, encoding = store.images.read_view(view.inspection_id, stored.artifact, stored.artifact_sha256)
        # Nothing scores over 1: what these say is their score.
        checks = [
            ExpectedCheck(name, CheckKind.PRESENCE, view.view_id, name, limit_uncertain=1.0, limit_defect=1.0)
            for name in station.model.card.components
        ]
        for result, _ in station.judge(checks, view, image, encoding, alignments[view.view_id]):
            if math.isfinite(result.score):
                found[result.component].append(result.score)
    return found


def _odds(score: float) -> float:
    """Log odds of a joined score, which may be surer than any view."""
    p = min(max(score, 1e-9), 1 - 1e-9)
    return math.log(p / (1 - p))


def _score(odds: float) -> float:
    return 1 / (1 + math.exp(-odds))
