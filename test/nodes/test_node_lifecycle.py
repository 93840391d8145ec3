"""Nodes by themselves, without a cell: lifecycle transitions, invalid ones too, parameters, wrong configurations."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cell_support import nodes, wait_until
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from inspection_cell_interfaces import msg, srv
from lifecycle_msgs.msg import Transition as T
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import DescribeParameters, GetParameters, ListParameters, SetParameters

from inspection_cell.client.probe import Probe
from inspection_cell.core.reasons import Code
from inspection_cell.core.state import State
from inspection_cell.nodes import qos

NAMESPACE = "life"
INVALID_FROM = {
    "unconfigured": (T.TRANSITION_ACTIVATE, T.TRANSITION_DEACTIVATE, T.TRANSITION_CLEANUP, 99),
    "inactive": (T.TRANSITION_CONFIGURE, T.TRANSITION_DEACTIVATE, T.TRANSITION_ACTIVE_SHUTDOWN),
    "active": (T.TRANSITION_CONFIGURE, T.TRANSITION_ACTIVATE, T.TRANSITION_CLEANUP),
}


@pytest.fixture(scope="module")
def probe(teach_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Probe]:
    data = tmp_path_factory.mktemp("life")
    with (
        nodes(NAMESPACE, teach_config, data, "decision", "alignment", "arm") as process,
        Probe(NAMESPACE, 60.0) as probe,
    ):
        yield probe
        assert process.poll() is None, "the nodes ended by themselves"


def refuse_all(probe: Probe, node: str, state: str) -> None:
    assert probe.lifecycle_state(node) == state
    for transition in INVALID_FROM[state]:
        assert not probe.transit(node, transition), f"{transition} taken in {state}"
        assert probe.lifecycle_state(node) == state


def test_every_transition_and_every_invalid_one(probe: Probe) -> None:
    refuse_all(probe, "decision", "unconfigured")
    for _ in range(2):
        assert probe.transit("decision", T.TRANSITION_CONFIGURE)
        refuse_all(probe, "decision", "inactive")
        assert probe.transit("decision", T.TRANSITION_ACTIVATE)
        refuse_all(probe, "decision", "active")
        assert probe.transit("decision", T.TRANSITION_DEACTIVATE)
        assert probe.lifecycle_state("decision") == "inactive"
        assert probe.transit("decision", T.TRANSITION_CLEANUP)
        assert probe.lifecycle_state("decision") == "unconfigured"


def test_a_transition_asked_for_with_an_unknown_label_is_refused(probe: Probe) -> None:
    from lifecycle_msgs.srv import ChangeState

    request = T(id=0, label="take_a_break")
    assert not probe.call(ChangeState, "alignment/change_state", transition=request).success
    assert probe.lifecycle_state("alignment") == "unconfigured"


def test_a_shut_down_node_is_finished_and_says_so(teach_config: Path, tmp_path: Path) -> None:
    with nodes("shut", teach_config, tmp_path, "alignment") as process, Probe("shut", 60.0) as probe:
        probe.transit("alignment", T.TRANSITION_CONFIGURE)
        probe.transit("alignment", T.TRANSITION_ACTIVATE)
        assert probe.transit("alignment", T.TRANSITION_ACTIVE_SHUTDOWN)
        assert probe.lifecycle_state("alignment") == "finalized"
        assert not probe.transit("alignment", T.TRANSITION_CONFIGURE)
        answer = probe.call(srv.PrepareRecipe, "alignment/prepare_recipe", recipe_path="x", recipe_hash="y")
        assert not answer.success and answer.reason.code == Code.NOT_READY
        assert process.poll() is None


def test_a_cell_that_was_taken_down_stays_halted(teach_config: Path, tmp_path: Path) -> None:
    with (
        nodes("halt", teach_config, tmp_path, "cell"),
        Probe("halt", 60.0) as probe,
        probe.listen(msg.CellState, "state", qos.STATE) as states,
    ):
        states.wait(lambda m: m.state == State.PREOPERATIONAL)
        for transition in (T.TRANSITION_CONFIGURE, T.TRANSITION_ACTIVATE, T.TRANSITION_DEACTIVATE):
            assert probe.transit("cell", transition)
        halted = states.wait(lambda m: m.state == State.HALTED)
        assert probe.transit("cell", T.TRANSITION_CLEANUP)
        last = states.wait(lambda m: m.heartbeat >= halted.heartbeat + 2)
        assert all(m.state == State.HALTED for m in states.messages[states.messages.index(halted) :])
        assert probe.transit("cell", T.TRANSITION_CONFIGURE)
        states.wait(lambda m: m.heartbeat > last.heartbeat and m.state == State.PREOPERATIONAL)


def test_an_inactive_node_refuses_its_work_with_a_reason(probe: Probe) -> None:
    for node, code in (("alignment", Code.NOT_READY), ("arm", Code.ARM_NOT_PLANNED)):
        answer = probe.call(srv.PrepareRecipe, f"{node}/prepare_recipe", recipe_path="x", recipe_hash="y")
        assert not answer.success and answer.reason.code == code and "not active" in answer.reason.text


def test_a_recipe_of_another_hash_is_not_loaded(probe: Probe) -> None:
    from inspection_cell.recipe.paths import share_folder

    path = str(share_folder() / "config" / "recipes" / "fast_test.yaml")
    probe.transit("alignment", T.TRANSITION_CONFIGURE)
    probe.transit("alignment", T.TRANSITION_ACTIVATE)
    answer = probe.call(srv.PrepareRecipe, "alignment/prepare_recipe", recipe_path=path, recipe_hash="0" * 64)
    assert not answer.success and answer.reason.code == Code.INVALID_RECIPE
    assert "select the recipe again" in answer.reason.text
    answer = probe.call(srv.PrepareRecipe, "alignment/prepare_recipe", recipe_path="/nowhere.yaml", recipe_hash="")
    assert not answer.success and answer.reason.code == Code.INVALID_RECIPE
    assert "/nowhere.yaml: cannot be read" in answer.reason.text


def test_parameters_are_described_and_fixed(probe: Probe) -> None:
    names = set(probe.call(ListParameters, "decision/list_parameters").result.names)
    assert {"cell_config", "data"} <= names
    described = probe.call(DescribeParameters, "decision/describe_parameters", names=["cell_config", "data"])
    assert all(d.description and d.read_only for d in described.descriptors)
    value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value="/tmp/other.yaml")
    before = probe.call(GetParameters, "decision/get_parameters", names=["cell_config"]).values[0].string_value
    answer = probe.call(
        SetParameters, "decision/set_parameters", parameters=[Parameter(name="cell_config", value=value)]
    )
    assert not answer.results[0].successful and answer.results[0].reason
    after = probe.call(GetParameters, "decision/get_parameters", names=["cell_config"]).values[0].string_value
    assert before == after
    unknown = [Parameter(name="speed", value=value)]
    assert not probe.call(SetParameters, "decision/set_parameters", parameters=unknown).results[0].successful


@pytest.mark.parametrize(
    ("content", "code", "text"),
    [
        (None, Code.INVALID_RECIPE, "cannot be read"),
        ("format: 1\nname: x\nspeeed: 3\n", Code.INVALID_RECIPE, "field 'speeed': is not known here"),
    ],
)
def test_a_wrong_configuration_is_told_and_the_node_stays(tmp_path: Path, content: str | None, code, text) -> None:
    config = tmp_path / "cell.yaml"
    if content is not None:
        config.write_text(content, encoding="utf-8")
    with nodes("wrong", config, tmp_path, "decision") as process, Probe("wrong", 60.0) as probe:
        with (
            probe.listen(msg.Event, "events", qos.EVENTS) as events,
            probe.listen(DiagnosticArray, "/diagnostics") as diagnostics,
        ):
            events.wait_connected()
            assert not probe.transit("decision", T.TRANSITION_CONFIGURE)
            assert probe.lifecycle_state("decision") == "unconfigured"
            event = events.wait(lambda m: m.code == code)
            assert text in event.text and str(config) in event.text and event.source == "decision"
            status = diagnostics.wait(
                lambda m: m.status[0].name == "/wrong/decision" and m.status[0].level == DiagnosticStatus.ERROR
            ).status[0]
            assert text in status.message
        assert process.poll() is None


def test_a_process_of_unknown_nodes_says_which_there_are() -> None:
    command = [sys.executable, "-m", "inspection_cell.nodes.process", "camera_side"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "camera_side" in ended.stderr and "camera_wide" in ended.stderr


def test_a_process_ends_soon_and_cleanly_when_it_is_asked(teach_config: Path, tmp_path: Path) -> None:
    with nodes("ends", teach_config, tmp_path, "decision", "alignment") as process, Probe("ends", 60.0) as probe:
        probe.transit("alignment", T.TRANSITION_CONFIGURE)
        probe.transit("alignment", T.TRANSITION_ACTIVATE)
        process.terminate()
        wait_until(lambda: process.poll() is not None, 20.0, "the process's end")
