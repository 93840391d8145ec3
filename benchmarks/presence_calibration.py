"""Claim: stated error rates hold; of 1000 missing components none is accepted with 3 % of the good ones held back.

The path-traced pictures of the demo part (path_traced.py) are split into two halves by chance: on one the temperature,
the prediction sets, the views' correlation and the limit are set, on the other they are tried.
- sets: class-conditional conformal sets with a stated error rate; how often the true class is in them, for each class
  with the exact 95 % interval; also how often the set has one class only, so that something is decided.
- one view: the limit is the largest that takes at most 1 % of the setting half's missing components as present.
- three views of a part: the set has three pictures of each component of a part, under one light and with one error of
  the pose. Their scores are joined as the cell joins views; correlation and limit are set on one half of the parts, the
  limit as the training sets the card's: where it accepts least of the missing ones that can be told from so many, or
  where it holds back 2 % of the present ones, whichever is lower.
- three views, 1000 trials: three pictures of one component, all present, missing or wrong, of different parts of the
  other half, by the same correlation and limit. They err together less than views of one part do.
- by the card: all parts, with the correlation and the limit that the training set on renderings, and none of its
  views showing a defect by itself, as the cell judges.
Run: python benchmarks/presence_calibration.py --pictures FOLDER [--model FOLDER] [--quick]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from common import finish, machine, parser, print_table
from numpy.typing import NDArray
from presence_accuracy import MISSING, MODEL, PART, PRESENT, WRONG, text
from rich.progress import Progress

from inspection_cell.cad.assembly import load_assembly
from inspection_cell.cad.render import GeometryRenderer
from inspection_cell.common.rates import Share
from inspection_cell.core.joined import is_held_back, joined_score
from inspection_cell.presence.calibration import fit_temperature, probabilities
from inspection_cell.presence.classify import CLASSES, PresenceModel
from inspection_cell.presence.combine import ComponentViews, fit_correlation
from inspection_cell.presence.conformal import fit_conformal, present_limit, reject_limit
from inspection_cell.presence.judge_manifest import Judged, judge_manifest
from inspection_cell.presence.manifest import load_manifest

RATES = (0.05, 0.1)
VIEWS = 3
HELD_BACK, HELD_BACK_GOAL = 0.02, 0.03
"""What the limit may hold back of the present ones where it is set, and of others."""
Floats = NDArray[np.float64]
Strings = NDArray[np.str_]


def sets(p: Floats, labels: NDArray[np.int64], setting: NDArray[np.bool_]) -> tuple[list[list[str]], bool]:
    """Rows of the table, and whether every class's coverage may be what is stated."""
    rows, holds = [], True
    for alpha in RATES:
        found = fit_conformal(p[setting], labels[setting], alpha)
        decided = float((found.decide(p[~setting]) >= 0).mean())
        coverage = found.coverage(p[~setting], labels[~setting])
        holds &= all(share.interval()[1] >= 1 - alpha for share in coverage)
        rows.append([f"{1 - alpha:.0%} stated", *(text(share) for share in coverage), f"{decided:.0%}"])
    return rows, holds


def trials(judged: Judged, score: Floats, own: NDArray[np.bool_], label: int, count: int, seed: int) -> Floats:
    """(count, VIEWS) scores of pictures of one component each, all of one label, from some of the pictures."""
    rng = np.random.default_rng(seed)
    names = np.array([picture.component for picture in judged.pictures])
    pools = [np.flatnonzero(own & (names == n) & (judged.labels == label)) for n in np.unique(names)]
    drawn = [rng.choice(pools[rng.integers(len(pools))], VIEWS, replace=False) for _ in range(count)]
    return np.asarray(score[np.array(drawn)])


def of_parts(parts: Strings, score: Floats, own: NDArray[np.bool_]) -> Floats:
    """(n, VIEWS) scores of the parts all of whose views are chosen and were judged."""
    groups = [np.flatnonzero(own & (parts == name)) for name in np.unique(parts[own])]
    return np.array([score[group] for group in groups if len(group) == VIEWS]).reshape(-1, VIEWS)


def correlation_of(present: Floats, missing: Floats) -> float:
    """Fitted to parts (n, VIEWS) of both."""
    scores = np.concatenate([present, missing]).ravel()
    component = np.repeat(np.arange(len(present) + len(missing)), VIEWS)
    views = ComponentViews(np.stack([1 - scores, scores], axis=1), np.ones(len(scores)), component)
    return fit_correlation(views, np.repeat([0, 1], [len(present), len(missing)]))


def joined(scores: Floats, correlation: float) -> Floats:
    """(n,) of (n, VIEWS)."""
    return np.array([joined_score(row, correlation) for row in scores.tolist()])


def main() -> int:
    """Runs it; the exit code."""
    arguments = parser(__doc__, "200 trials")
    arguments.add_argument("--pictures", type=Path, required=True, help="the path-traced set")
    arguments.add_argument("--model", type=Path, default=MODEL, help="folder of the model")
    given = arguments.parse_args()
    print(machine())
    model = PresenceModel.load(given.model, None)
    pictures = [p for p in load_manifest(given.pictures / "manifest.jsonl") if p.component in model.card.components]
    with GeometryRenderer(load_assembly(PART)) as renderer, Progress() as bar:
        task = bar.add_task("judging", total=len(pictures))
        judged = judge_manifest(model, renderer, pictures, given.pictures, lambda n: bar.update(task, completed=n))
    parts = np.array([p.part or p.image for p in judged.pictures])
    names, number = np.unique(parts, return_inverse=True)
    setting = (np.random.default_rng(0).random(len(names)) < 0.5)[number]
    logits = np.log(np.maximum(judged.p, 1e-7))
    temperature = fit_temperature(logits[setting], judged.labels[setting])
    p = probabilities(logits, temperature)
    rows, covered = sets(p, judged.labels, setting)
    print_table(
        f"{int((~setting).sum())} pictures tried; temperature {temperature:.2f}",
        ("true class in the set", *CLASSES, "one class only"),
        rows,
    )

    def rates(limit: float, missing: Floats, wrong: Floats, present: Floats) -> list[str]:
        accepted = [Share(int((scores <= limit).sum()), len(scores)) for scores in (missing, wrong)]
        held = Share(int((present > limit).sum()), len(present))
        return [f"{limit:.3f}", *(text(share) for share in (*accepted, held))]

    score = 1 - p[:, PRESENT]
    missing, wrong, present = (judged.labels == label for label in (MISSING, WRONG, PRESENT))
    one = present_limit(score[setting & missing], 0.01).limit
    table = [["one view", *rates(one, *(score[~setting & own] for own in (missing, wrong, present)))]]
    kinds = (missing, wrong, present)
    correlation = correlation_of(*(of_parts(parts, score, setting & own) for own in (present, missing)))
    absent, there = (joined(of_parts(parts, score, setting & own), correlation) for own in (missing, present))
    accepts = present_limit(absent, 1 / (len(absent) + 1)).limit
    limit = min(accepts, reject_limit(there, HELD_BACK).limit)
    tried = [joined(of_parts(parts, score, ~setting & own), correlation) for own in kinds]
    table.append([f"{VIEWS} views of a part", *rates(limit, *tried)])
    count = 200 if given.quick else 1000
    by_trials = [
        joined(trials(judged, score, ~setting, label, count, label), correlation) for label in (MISSING, WRONG, PRESENT)
    ]
    table.append([f"{VIEWS} views, {count} trials", *rates(limit, *by_trials)])
    card = model.card
    limits = (card.correlation, card.limit_uncertain, card.limit_defect)
    by_card = [
        np.array([is_held_back(row, *limits) for row in of_parts(parts, 1 - judged.p[:, PRESENT], own).tolist()])
        for own in kinds
    ]
    shares = (Share(int((~by_card[0]).sum()), len(by_card[0])), Share(int((~by_card[1]).sum()), len(by_card[1])))
    held_by_card = Share(int(by_card[2].sum()), len(by_card[2]))
    table.append(
        [f"{VIEWS} views of a part, by the card", f"{card.limit_uncertain:.3f}", *map(text, (*shares, held_by_card))]
    )
    print_table(
        f"correlation {correlation:.2f}, the card's {card.correlation:.2f}",
        ("judged by", "limit", "missing accepted", "wrong accepted", "present held back"),
        table,
    )
    accepted = int((by_trials[0] <= limit).sum())
    held = float((by_trials[2] > limit).mean())
    told = f"{VIEWS} views: {accepted} of {count} missing accepted (goal 0), {100 * held:.1f} % held back (goal 3)"
    return finish(
        covered and accepted == 0 and held <= HELD_BACK_GOAL, f"coverage {'as' if covered else 'not as'} stated; {told}"
    )


if __name__ == "__main__":
    sys.exit(main())
