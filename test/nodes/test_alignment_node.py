"""The alignment node by itself, over real DDS: a grasp is aligned once all its wide views came and agree."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import yaml
from cell_support import nodes, wait_until
from held_part import HeldPart, two_wide_content
from inspection_cell_interfaces import msg, srv
from lifecycle_msgs.msg import Transition as T
from sensor_msgs.msg import CompressedImage

from inspection_cell.client.probe import Probe
from inspection_cell.core.poses import transform
from inspection_cell.core.reasons import Code
from inspection_cell.core.verdict import Severity
from inspection_cell.core.view import Alignment
from inspection_cell.frames.pool import FramePool
from inspection_cell.nodes import convert, qos

NAMESPACE = "wide_views"
TWIST = np.array([-0.0012, 0.0015, 0.0014, -0.02, 0.02, 0.025])
numbers = itertools.count(1)


class Line:
    """What stands before the alignment node: someone who plans, cameras, and an ear for what it says."""

    def __init__(self, probe: Probe, pool: FramePool) -> None:
        self.held = HeldPart(two_wide_content(), TWIST)
        self.probe, self.pool = probe, pool
        self.plans = probe.node.create_publisher(msg.InspectionPlan, "plan", qos.LATCHED)
        self.views = probe.node.create_publisher(msg.View, "views", qos.EVIDENCE)

    def new_part(self) -> str:
        """Announces a plan; its inspection id."""
        plan = replace(self.held.plan, inspection_id=f"20260101-000000-{next(numbers):08x}")
        self.plans.publish(convert.plan_to_msg(plan))
        return plan.inspection_id

    def show(self, inspection_id: str, view_id: str, lost: bool = False, **told: Any) -> None:
        """Publishes a view; its frame may have been overwritten before."""
        view, image = self.held.take(view_id, **told)
        handle = self.pool.put(image, "mono8")
        if lost:
            handle = replace(handle, generation=handle.generation + 1000)
        message = convert.view_to_msg(
            replace(view, inspection_id=inspection_id), handle, socket.gethostname(), "optical"
        )
        self.views.publish(message)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    folder = tmp_path_factory.mktemp("alignment")
    path = folder / "two_wide.yaml"
    path.write_text(yaml.safe_dump(two_wide_content()), encoding="utf-8")
    pool = FramePool("test_alignment_node", 24)
    with Probe(NAMESPACE, 60.0) as probe:
        line = Line(probe, pool)
        with nodes(NAMESPACE, line.held.path, folder, "alignment"):
            assert probe.transit("alignment", T.TRANSITION_CONFIGURE)
            assert probe.transit("alignment", T.TRANSITION_ACTIVATE)
            asked = {"recipe_path": str(path), "recipe_hash": line.held.recipe.hash}
            answer = probe.call(srv.PrepareRecipe, "alignment/prepare_recipe", **asked)
            assert answer.success, answer.reason.text
            counts = (line.plans.get_subscription_count, line.views.get_subscription_count)
            wait_until(lambda: all(count() for count in counts), 30.0, "the alignment node's ears")
            yield line
    pool.close()


@pytest.fixture
def alignments(line: Line) -> Iterator[Any]:
    with line.probe.listen(msg.Alignment, "alignments", qos.LATCHED) as ear:
        ear.wait_connected()
        yield ear


def said_of(ear: Any, inspection_id: str, view_id: str) -> Alignment:
    heard = ear.wait(lambda m: m.inspection_id == inspection_id and m.view_id == view_id, 60.0)
    return convert.alignment_from_msg(heard)


def views_heard(ear: Any, inspection_id: str) -> list[str]:
    return [m.view_id for m in ear.messages if m.inspection_id == inspection_id]


@pytest.mark.parametrize("order", [("g1/wide", "g1/wide_090"), ("g1/wide_090", "g1/wide")])
def test_two_wide_views_give_one_alignment_of_their_grasp(line: Line, alignments, order: tuple[str, str]) -> None:
    part = line.new_part()
    for view_id in (*order, "g1/top_000"):
        line.show(part, view_id)
    close = said_of(alignments, part, "g1/top_000")
    grasp = said_of(alignments, part, "g1/wide_090")
    assert grasp.accepted and close.accepted and grasp.grasp == "g1", (grasp.reason, close.reason)
    assert views_heard(alignments, part) == ["g1/wide_090", "g1/top_000"]
    centre = line.held.scene.centre[None]
    off = transform(grasp.T_reference_part, centre) - transform(line.held.T_tool_part("g1"), centre)
    assert np.linalg.norm(off) < 1e-4


@pytest.mark.parametrize(
    "told", [{"focal": 1.004}, {"camera_off": (0, 0, 0, 0, 0.0015, 0)}], ids=["focal length", "camera's pose"]
)
def test_a_camera_that_is_not_what_it_is_said_to_be_is_refused_with_the_cause(line: Line, alignments, told) -> None:
    with line.probe.listen(msg.Event, "events", qos.EVENTS) as events:
        events.wait_connected()
        part = line.new_part()
        for view_id in ("g2/wide", "g2/wide_090"):
            line.show(part, view_id, **told)
        line.show(part, "g2/top_180")
        refused = said_of(alignments, part, "g2/wide_090")
        assert not refused.accepted and "calibration" in refused.reason
        assert not said_of(alignments, part, "g2/top_180").accepted
        fault = events.wait(lambda m: m.inspection_id == part and m.severity == int(Severity.FAULT))
        assert fault.code == Code.VIEWS_DISAGREE and fault.text == refused.reason


def test_one_of_two_wide_views_aligns_nothing(line: Line, alignments) -> None:
    part = line.new_part()
    line.show(part, "g1/wide_090")
    line.show(part, "g1/top_000")
    close = said_of(alignments, part, "g1/top_000")
    assert not close.accepted and "the grasp has no alignment" in close.reason
    assert views_heard(alignments, part) == ["g1/top_000"]


@pytest.mark.parametrize("lost", ["g1/wide", "g1/wide_090"])
def test_a_wide_view_whose_pixels_are_lost_refuses_the_grasp(line: Line, alignments, lost: str) -> None:
    part = line.new_part()
    for view_id in ("g1/wide", "g1/wide_090"):
        line.show(part, view_id, lost=view_id == lost)
    line.show(part, "g1/top_000")
    assert not said_of(alignments, part, "g1/top_000").accepted
    refused = said_of(alignments, part, "g1/wide_090")
    assert not refused.accepted and Code.FRAME_STALE.name in refused.reason
    assert views_heard(alignments, part) == ["g1/wide_090", "g1/top_000"]


def test_each_wide_view_is_drawn_while_somebody_looks(line: Line) -> None:
    with line.probe.listen(CompressedImage, "alignment/debug/compressed", qos.PICTURES) as pictures:
        pictures.wait_connected()
        part = line.new_part()
        for count, view_id in enumerate(("g2/wide", "g2/wide_090"), start=1):
            line.show(part, view_id)
            wait_until(lambda count=count: len(pictures.messages) >= count, 60.0, f"the picture of {view_id}")
