"""What holds for every part: nothing lost ever passes, order never matters, more defects never help."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from decision_parts import END, answer, good_results, invalid, make_plan
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from inspection_cell.core.check import CheckResult, Outcome
from inspection_cell.core.plan import CheckKind, ExpectedCheck
from inspection_cell.core.verdict import Verdict
from inspection_cell.decision.plan_faults import SCORED
from inspection_cell.decision.verdict import decide

PLAN = make_plan(presence_min_judged={"clip": 4, "label": 4})
IDS = [check.check_id for check in PLAN.checks]
CHECKS = {check.check_id: check for check in PLAN.checks}
SCORED_IDS = [check.check_id for check in PLAN.checks if check.kind in SCORED]
HASHED = [check.check_id for check in PLAN.checks if check.model_hash]

Damage = Callable[[CheckResult], list[CheckResult]]
DAMAGES: list[Damage] = [
    lambda r: [],
    lambda r: [replace(r, lateness_s=0.5)],
    lambda r: [replace(r, lateness_s=math.nan)],
    lambda r: [replace(r, score=math.nan)],
    lambda r: [replace(r, score=-math.inf)],
    lambda r: [invalid(r)],
    lambda r: [r, invalid(r)],
    lambda r: [r, replace(r, score=r.score - 0.01)],
    lambda r: [replace(r, check_id=r.check_id + "x")],
    lambda r: [replace(r, inspection_id="another")],
    lambda r: [replace(r, component="nut")],
    lambda r: [replace(r, view_id="nowhere")],
    lambda r: [replace(r, outcome=Outcome.NOT_APPLICABLE)],
    lambda r: [replace(r, outcome=Outcome.UNCERTAIN)],
]
LIMITED = settings(max_examples=150, deadline=None)


@st.composite
def any_results(draw: st.DrawFn) -> list[CheckResult]:
    """Results of any part: some damaged, some with other scores, some repeated."""
    results: list[CheckResult] = []
    changed = draw(st.dictionaries(st.sampled_from(IDS), st.integers(0, len(DAMAGES) - 1), max_size=3))
    scores = draw(
        st.dictionaries(st.sampled_from(SCORED_IDS), st.sampled_from([0.0, 0.0015, 0.5, 1.5, 3.0, 11.0]), max_size=5)
    )
    for name, check in CHECKS.items():
        result = answer(check, scores.get(name))
        results += DAMAGES[changed[name]](result) if name in changed else [result]
    return results + draw(st.lists(st.sampled_from(results), max_size=3)) if results else []


@LIMITED
@given(st.dictionaries(st.sampled_from(IDS), st.sampled_from(range(len(DAMAGES))), min_size=1, max_size=6))
def test_a_good_part_with_anything_lost_never_passes(damage: dict[str, int]) -> None:
    results = []
    for name, result in good_results(PLAN).items():
        results += DAMAGES[damage[name]](result) if name in damage else [result]
    assert decide(PLAN, results, END).verdict is Verdict.ERROR


@LIMITED
@given(st.sampled_from(HASHED), st.text(max_size=70).filter(lambda h: h != "a" * 64))
def test_another_model_never_passes(name: str, model_hash: str) -> None:
    results = good_results(PLAN)
    results[name] = replace(results[name], model_hash=model_hash)
    assert decide(PLAN, list(results.values()), END).verdict is Verdict.ERROR


@LIMITED
@given(any_results(), st.randoms())
def test_order_never_matters(results: list[CheckResult], random: object) -> None:
    shuffled = results.copy()
    random.shuffle(shuffled)
    assert decide(PLAN, shuffled, END) == decide(PLAN, results, END)


def least(check: ExpectedCheck) -> float:
    """What a defect needs one result to be over; views of a component that are doubtful prove it together."""
    return check.limit_uncertain if check.kind is CheckKind.PRESENCE else check.limit_defect


TOWARDS_PASS = {Verdict.PASS: 0, Verdict.UNCERTAIN: 1, Verdict.ERROR: 1, Verdict.FAIL: 2}


@LIMITED
@given(any_results(), st.sampled_from(SCORED_IDS), st.sampled_from([2.5, 50.0]))
def test_more_defects_never_move_towards_pass(results: list[CheckResult], name: str, score: float) -> None:
    """One check's valid answer is replaced by a graver one; an invalid one would be repaired by it."""
    given_before = [r for r in results if r.check_id == name]
    assume(given_before and all(math.isfinite(r.score) for r in given_before))
    assume(all(r == answer(CHECKS[name], min(r.score, score)) for r in given_before))
    before = decide(PLAN, results, END).verdict
    worse = [r for r in results if r.check_id != name] + [answer(CHECKS[name], score)]
    after = decide(PLAN, worse, END).verdict
    assert TOWARDS_PASS[after] >= TOWARDS_PASS[before]


@LIMITED
@given(any_results(), st.sampled_from(IDS))
def test_losing_a_result_never_passes_and_never_proves(results: list[CheckResult], name: str) -> None:
    before = decide(PLAN, results, END).verdict
    after = decide(PLAN, [r for r in results if r.check_id != name], END).verdict
    assert after in (Verdict.ERROR, Verdict.FAIL)
    if after is Verdict.FAIL:
        assert before is Verdict.FAIL


@LIMITED
@given(any_results())
def test_fail_rests_on_scores_over_their_limit(results: list[CheckResult]) -> None:
    if decide(PLAN, results, END).verdict is Verdict.FAIL:
        over = [
            r
            for r in results
            if r.check_id in CHECKS
            and r.kind in SCORED
            and (abs(r.score) if r.kind is CheckKind.WEIGHT else r.score) > least(CHECKS[r.check_id])
        ]
        assert over
