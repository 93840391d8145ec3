"""Recorded parts for the tests: a plan, its views with images in the store, and a verdict."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from decision_parts import END, good_results, make_plan

from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.check import CheckResult
from inspection_cell.core.plan import CheckKind, InspectionPlan, Mounting
from inspection_cell.core.reasons import Code
from inspection_cell.core.verdict import Disposition, Event, PartVerdict, Severity, Verdict, VerdictProposal
from inspection_cell.core.view import Alignment, View, Weight
from inspection_cell.decision.verdict import decide
from inspection_cell.records.images import ImageStore
from inspection_cell.records.inspection_ids import new_inspection_id
from inspection_cell.records.store import RecordStore

START_NS = 1_767_323_045_000_000_000


def new_plan(number: int = 1, serial: str | None = None) -> InspectionPlan:
    stamp = START_NS + number * 1_000_000_000
    return replace(
        make_plan(),
        inspection_id=new_inspection_id(stamp),
        request_id=f"request {number}",
        serial=serial or f"part {number}",
        stamp_ns=stamp,
    )


def make_view(plan: InspectionPlan, view_id: str) -> View:
    expected = next(v for v in plan.views if v.view_id == view_id)
    return View(
        inspection_id=plan.inspection_id,
        view_id=view_id,
        grasp=expected.grasp,
        viewpoint=expected.viewpoint,
        role=expected.role,
        camera_id="0815",
        calibration_id="c1",
        stamp_ns=plan.stamp_ns,
        camera=CameraModel.pinhole(64, 48, 100.0),
        mounting=Mounting.PART_IN_HAND,
        T_world_camera=np.eye(4),
        T_world_tool=np.eye(4),
        T_prior=np.eye(4),
        prior_covariance=np.eye(6),
        exposure_s=0.01,
        gain_db=0.0,
        light="ring",
        attempts=1,
        settled=True,
    )


def picture(seed: int = 0, height: int = 48, width: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (height, width), np.uint8)


def stored_results(images: ImageStore, plan: InspectionPlan) -> list[CheckResult]:
    """A good part's results; its images are stored."""
    results = []
    for result in good_results(plan).values():
        result = replace(result, inspection_id=plan.inspection_id)
        if result.kind is CheckKind.RECORD:
            file = images.write_view(plan.inspection_id, result.view_id, picture(), "bayer_rggb8")
            result = replace(result, artifact=file.name, artifact_sha256=file.sha256)
        results.append(result)
    return results


def make_verdict(plan: InspectionPlan, proposal: VerdictProposal, disposition: Disposition) -> PartVerdict:
    return PartVerdict(
        inspection_id=plan.inspection_id,
        request_id=plan.request_id,
        serial=plan.serial,
        recipe=plan.recipe,
        recipe_hash=plan.recipe_hash,
        verdict=proposal.verdict,
        reasons=proposal.reasons,
        disposition=disposition,
        mode=plan.mode,
        simulated=plan.simulated,
        stamp_ns=proposal.stamp_ns,
        mass_kg=0.1001,
        timings_s={"cycle": 61.25, "motion": 50.0},
    )


def inspect(store: RecordStore, plan: InspectionPlan) -> PartVerdict:
    """Opens, inspects and commits a good part."""
    store.open_inspection(plan)
    store.note_step(plan.inspection_id, "view g1_v1", Disposition.GRIPPER)
    results = stored_results(store.images, plan)
    proposal = decide(plan, results, replace(END, inspection_id=plan.inspection_id), stamp_ns=plan.stamp_ns)
    assert proposal.verdict is Verdict.PASS
    verdict = make_verdict(plan, proposal, Disposition.GOOD_BIN)
    store.commit(
        verdict,
        proposal,
        views=[make_view(plan, view.view_id) for view in plan.views],
        results=results,
        alignments=[Alignment(plan.inspection_id, "g1", "g1_wide", 1, np.eye(4), np.eye(6), 0.9, 0.3, True)],
        weights=[
            Weight(plan.inspection_id, 1, float("nan"), False, "scale", "S D"),
            Weight(plan.inspection_id, 2, 0.1001, True, "scale", "S S 100.1 g"),
        ],
        events=[Event(plan.inspection_id, 3, "scale", Severity.RECOVERED, Code.SCALE_UNSTABLE, "weighed again")],
    )
    return verdict
