"""The inspect action over real DDS: feedback, result, cancel, refusals; the same idempotence as the services."""

from __future__ import annotations

import uuid

import pytest
from action_msgs.msg import GoalStatus
from cell_support import Cell, wait_until

from inspection_cell.core.plan import Mode
from inspection_cell.core.reasons import Code
from inspection_cell.core.verdict import Verdict
from inspection_cell.nodes.waiting import wait_for
from inspection_cell.recipe.make_plan import make_plan
from inspection_cell.recipe.paths import find_recipe_file
from inspection_cell.recipe.recipe import load_recipe
from inspection_cell.sequence.controller import Status


def finished(handle, timeout_s: float = 120.0):
    answer = wait_for(handle.get_result_async(), timeout_s)
    assert answer is not None, "the action gave no result"
    return answer


def test_feedback_grows_and_the_result_is_the_services_result(cell: Cell) -> None:
    heard: list = []
    serial, request = cell.next_part(), uuid.uuid4().hex
    answer = finished(cell.plc.inspect_action(request, serial, cell.recipe, heard.append))
    assert answer.status == GoalStatus.STATUS_SUCCEEDED
    result = answer.result
    assert result.accepted and result.verdict.verdict == Verdict.PASS and result.verdict.serial == serial
    assert cell.plc.result(result.inspection_id).verdict.stamp == result.verdict.stamp
    assert len(heard) >= 3 and {f.inspection_id for f in heard} == {result.inspection_id}
    plan = make_plan(
        load_recipe(find_recipe_file(cell.recipe, cell.data, cell.config)), "", "", "", Mode.TEACH, True, 0
    )
    expected = (len(plan.views), len(plan.checks))
    assert {(f.views_expected, f.checks_expected) for f in heard} == {expected}
    for field in ("progress", "views_taken", "checks_reported"):
        values = [getattr(f, field) for f in heard]
        assert values == sorted(values) and values[-1] > 0, field
    assert all(0 <= f.progress <= 1 for f in heard) and any(f.step.startswith("view:") for f in heard)
    again = finished(cell.plc.inspect_action(request, serial))
    assert again.status == GoalStatus.STATUS_SUCCEEDED, "the same request, so the same answer"
    assert again.result.inspection_id == result.inspection_id


def test_a_cancel_is_an_abort(cell: Cell) -> None:
    heard: list = []
    handle = cell.plc.inspect_action(uuid.uuid4().hex, cell.next_part(), feedback=heard.append)
    wait_until(lambda: any(f.step.startswith("view:") for f in heard), 60.0, "a view")
    assert wait_for(handle.cancel_goal_async(), 30.0) is not None
    answer = finished(handle)
    assert answer.status == GoalStatus.STATUS_CANCELED
    verdict = answer.result.verdict
    assert verdict.verdict == Verdict.ERROR and Code.ABORTED in {r.code for r in verdict.reasons}
    assert cell.plc.result(answer.result.inspection_id).status == Status.DONE
    cell.make_ready()
    assert cell.inspect_one().verdict.verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("serial", "recipe", "code"), [("", "", Code.INVALID_REQUEST), ("4711", "nothing", Code.UNKNOWN_RECIPE)]
)
def test_a_goal_that_is_refused_ends_with_its_reason(cell: Cell, serial: str, recipe: str, code: Code) -> None:
    answer = finished(cell.plc.inspect_action(uuid.uuid4().hex, serial, recipe))
    assert answer.status == GoalStatus.STATUS_ABORTED
    assert not answer.result.accepted and answer.result.reason.code == code


def test_many_clients_of_one_part_do_not_keep_the_cell_from_working(cell: Cell) -> None:
    serial, request = cell.next_part(), uuid.uuid4().hex
    answers = [finished(handle) for handle in [cell.plc.inspect_action(request, serial) for _ in range(12)]]
    followed = [a.result for a in answers if a.result.accepted]
    assert followed and len({r.inspection_id for r in followed}) == 1
    assert all(r.verdict.verdict == Verdict.PASS for r in followed)
    assert {a.result.reason.code for a in answers if not a.result.accepted} <= {Code.NOT_READY}
