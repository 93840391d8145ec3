"""The only place where ROS messages and core types meet."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Pose as PoseMsg
from geometry_msgs.msg import PoseWithCovariance
from inspection_cell_interfaces import msg
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo

from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.check import CheckResult, Outcome
from inspection_cell.core.plan import (
    CameraRole,
    CheckKind,
    ExpectedCheck,
    ExpectedView,
    InspectionPlan,
    Mode,
    Mounting,
    PartRule,
)
from inspection_cell.core.poses import Pose, make_pose, quaternion_from_rotation, rotation_from_quaternion
from inspection_cell.core.reasons import Code, Reason
from inspection_cell.core.verdict import (
    Disposition,
    Event,
    InspectionEnd,
    PartVerdict,
    Severity,
    Verdict,
    VerdictProposal,
)
from inspection_cell.core.view import Alignment, View, Weight
from inspection_cell.frames.handle import FrameHandle


def time_to_msg(stamp_ns: int) -> Time:
    return Time(sec=stamp_ns // 1_000_000_000, nanosec=stamp_ns % 1_000_000_000)


def time_from_msg(message: Time) -> int:
    return int(message.sec) * 1_000_000_000 + int(message.nanosec)


def pose_to_msg(pose: Pose) -> PoseMsg:
    message = PoseMsg()
    message.position.x, message.position.y, message.position.z = (float(v) for v in pose[:3, 3])
    x, y, z, w = (float(v) for v in quaternion_from_rotation(pose[:3, :3]))
    message.orientation.x, message.orientation.y, message.orientation.z, message.orientation.w = x, y, z, w
    return message


def pose_from_msg(message: PoseMsg) -> Pose:
    """Raises ValueError: the quaternion has no direction, or a value is not finite."""
    p, q = message.position, message.orientation
    pose = make_pose(rotation_from_quaternion((q.x, q.y, q.z, q.w)), (p.x, p.y, p.z))
    if not np.all(np.isfinite(pose)):
        raise ValueError("a pose holds a value that is not finite")
    return pose


def pose_with_covariance_to_msg(pose: Pose, covariance: NDArray[np.float64]) -> PoseWithCovariance:
    return PoseWithCovariance(pose=pose_to_msg(pose), covariance=np.asarray(covariance, float).reshape(36))


def covariance_from_msg(message: PoseWithCovariance) -> NDArray[np.float64]:
    return np.asarray(message.covariance, float).reshape(6, 6)


def reason_to_msg(reason: Reason | None) -> msg.Reason:
    if reason is None:
        return msg.Reason()
    return msg.Reason(code=int(reason.code), text=reason.text, subject=reason.subject)


def reason_from_msg(message: msg.Reason) -> Reason | None:
    if message.code == 0:
        return None
    return Reason(Code(message.code), message.text, message.subject)


def reasons_from_msg(messages: Iterable[msg.Reason]) -> tuple[Reason, ...]:
    return tuple(reason for reason in map(reason_from_msg, messages) if reason is not None)


def camera_to_msg(camera: CameraModel, frame_id: str, stamp_ns: int) -> CameraInfo:
    info = CameraInfo()
    info.header.stamp, info.header.frame_id = time_to_msg(stamp_ns), frame_id
    info.width, info.height, info.distortion_model = camera.width, camera.height, "plumb_bob"
    info.d = camera.distortion.tolist()
    info.k = camera.matrix.reshape(9)
    info.r = np.eye(3).reshape(9)
    info.p = np.column_stack([camera.matrix, np.zeros(3)]).reshape(12)
    return info


def camera_from_msg(info: CameraInfo) -> CameraModel:
    distortion = np.zeros(5)
    distortion[: min(5, len(info.d))] = np.asarray(info.d, float)[:5]
    return CameraModel(info.width, info.height, np.asarray(info.k, float).reshape(3, 3), distortion)


def handle_to_msg(handle: FrameHandle, host: str) -> msg.FrameHandle:
    return msg.FrameHandle(
        host=host,
        name=handle.name,
        generation=handle.generation,
        width=handle.width,
        height=handle.height,
        stride=handle.stride,
        size=handle.size,
        encoding=handle.encoding,
    )


def handle_from_msg(m: msg.FrameHandle) -> FrameHandle:
    return FrameHandle(
        name=m.name,
        generation=m.generation,
        width=m.width,
        height=m.height,
        encoding=m.encoding,
        stride=m.stride,
        size=m.size,
    )


def view_to_msg(view: View, handle: FrameHandle, host: str, frame_id: str) -> msg.View:
    message = msg.View(
        inspection_id=view.inspection_id,
        view_id=view.view_id,
        grasp=view.grasp,
        viewpoint=view.viewpoint,
        role=int(view.role),
        camera_id=view.camera_id,
        calibration_id=view.calibration_id,
        frame=handle_to_msg(handle, host),
        camera_info=camera_to_msg(view.camera, frame_id, view.stamp_ns),
        mounting=int(view.mounting),
        t_world_camera=pose_to_msg(view.T_world_camera),
        t_world_tool=pose_to_msg(view.T_world_tool),
        t_prior=pose_with_covariance_to_msg(view.T_prior, view.prior_covariance),
        exposure_s=float(view.exposure_s),
        gain_db=float(view.gain_db),
        light=view.light,
        attempts=view.attempts,
        settled=view.settled,
        faults=[reason_to_msg(r) for r in view.faults],
    )
    message.header.stamp, message.header.frame_id = time_to_msg(view.stamp_ns), frame_id
    return message


def view_from_msg(m: msg.View) -> View:
    return View(
        inspection_id=m.inspection_id,
        view_id=m.view_id,
        grasp=m.grasp,
        viewpoint=m.viewpoint,
        role=CameraRole(m.role),
        camera_id=m.camera_id,
        calibration_id=m.calibration_id,
        stamp_ns=time_from_msg(m.header.stamp),
        camera=camera_from_msg(m.camera_info),
        mounting=Mounting(m.mounting),
        T_world_camera=pose_from_msg(m.t_world_camera),
        T_world_tool=pose_from_msg(m.t_world_tool),
        T_prior=pose_from_msg(m.t_prior.pose),
        prior_covariance=covariance_from_msg(m.t_prior),
        exposure_s=m.exposure_s,
        gain_db=m.gain_db,
        light=m.light,
        attempts=m.attempts,
        settled=m.settled,
        faults=reasons_from_msg(m.faults),
    )


def alignment_to_msg(a: Alignment, frame_id: str) -> msg.Alignment:
    message = msg.Alignment(
        inspection_id=a.inspection_id,
        grasp=a.grasp,
        view_id=a.view_id,
        t_reference_part=pose_with_covariance_to_msg(a.T_reference_part, a.covariance),
        quality=float(a.quality),
        residual_px=float(a.residual_px),
        accepted=a.accepted,
        reason=a.reason,
    )
    message.header.stamp, message.header.frame_id = time_to_msg(a.stamp_ns), frame_id
    return message


def alignment_from_msg(m: msg.Alignment) -> Alignment:
    return Alignment(
        inspection_id=m.inspection_id,
        grasp=m.grasp,
        view_id=m.view_id,
        stamp_ns=time_from_msg(m.header.stamp),
        T_reference_part=pose_from_msg(m.t_reference_part.pose),
        covariance=covariance_from_msg(m.t_reference_part),
        quality=m.quality,
        residual_px=m.residual_px,
        accepted=m.accepted,
        reason=m.reason,
    )


def weight_to_msg(w: Weight) -> msg.Weight:
    return msg.Weight(
        stamp=time_to_msg(w.stamp_ns),
        inspection_id=w.inspection_id,
        mass_kg=float(w.mass_kg),
        stable=w.stable,
        scale_id=w.scale_id,
        raw=w.raw,
        reason=reason_to_msg(w.reason),
    )


def weight_from_msg(m: msg.Weight) -> Weight:
    return Weight(
        inspection_id=m.inspection_id,
        stamp_ns=time_from_msg(m.stamp),
        mass_kg=m.mass_kg,
        stable=m.stable,
        scale_id=m.scale_id,
        raw=m.raw,
        reason=reason_from_msg(m.reason),
    )


def check_to_msg(r: CheckResult, stamp_ns: int) -> msg.CheckResult:
    return msg.CheckResult(
        stamp=time_to_msg(stamp_ns),
        inspection_id=r.inspection_id,
        check_id=r.check_id,
        kind=int(r.kind),
        view_id=r.view_id,
        component=r.component,
        outcome=int(r.outcome),
        score=float(r.score),
        model_hash=r.model_hash,
        lateness_s=float(r.lateness_s),
        analysis_s=float(r.analysis_s),
        box=np.asarray([max(0, int(v)) for v in r.box], np.uint32),
        artifact=r.artifact,
        artifact_sha256=r.artifact_sha256,
        reason=reason_to_msg(r.reason),
    )


def check_from_msg(m: msg.CheckResult) -> CheckResult:
    x, y, width, height = (int(v) for v in m.box)
    return CheckResult(
        inspection_id=m.inspection_id,
        check_id=m.check_id,
        kind=CheckKind(m.kind),
        outcome=Outcome(m.outcome),
        score=m.score,
        view_id=m.view_id,
        component=m.component,
        model_hash=m.model_hash,
        lateness_s=m.lateness_s,
        analysis_s=m.analysis_s,
        box=(x, y, width, height),
        artifact=m.artifact,
        artifact_sha256=m.artifact_sha256,
        reason=reason_from_msg(m.reason),
    )


def plan_to_msg(p: InspectionPlan) -> msg.InspectionPlan:
    components = sorted(p.rule.presence_min_judged)
    return msg.InspectionPlan(
        stamp=time_to_msg(p.stamp_ns),
        inspection_id=p.inspection_id,
        request_id=p.request_id,
        serial=p.serial,
        recipe=p.recipe,
        recipe_hash=p.recipe_hash,
        mode=int(p.mode),
        simulated=p.simulated,
        mounting=int(p.mounting),
        views=[
            msg.ExpectedView(
                view_id=v.view_id,
                grasp=v.grasp,
                viewpoint=v.viewpoint,
                role=int(v.role),
                deadline_s=float(v.deadline_s),
            )
            for v in p.views
        ],
        checks=[
            msg.ExpectedCheck(
                check_id=c.check_id,
                kind=int(c.kind),
                view_id=c.view_id,
                component=c.component,
                model_hash=c.model_hash,
                limit_uncertain=float(c.limit_uncertain),
                limit_defect=float(c.limit_defect),
                limit_critical=float(c.limit_critical),
                nominal=float(c.nominal),
                needs_alignment=c.needs_alignment,
                deadline_s=float(c.deadline_s),
            )
            for c in p.checks
        ],
        anomaly_views=p.rule.anomaly_views,
        presence_correlation=float(p.rule.presence_correlation),
        presence_components=components,
        presence_min_judged=[p.rule.presence_min_judged[c] for c in components],
        deadline_s=float(p.deadline_s),
    )


def plan_from_msg(m: msg.InspectionPlan) -> InspectionPlan:
    return InspectionPlan(
        inspection_id=m.inspection_id,
        request_id=m.request_id,
        serial=m.serial,
        recipe=m.recipe,
        recipe_hash=m.recipe_hash,
        mode=Mode(m.mode),
        simulated=m.simulated,
        mounting=Mounting(m.mounting),
        stamp_ns=time_from_msg(m.stamp),
        views=tuple(ExpectedView(v.view_id, v.grasp, v.viewpoint, CameraRole(v.role), v.deadline_s) for v in m.views),
        checks=tuple(
            ExpectedCheck(
                check_id=c.check_id,
                kind=CheckKind(c.kind),
                view_id=c.view_id,
                component=c.component,
                model_hash=c.model_hash,
                limit_uncertain=c.limit_uncertain,
                limit_defect=c.limit_defect,
                limit_critical=c.limit_critical,
                nominal=c.nominal,
                needs_alignment=c.needs_alignment,
                deadline_s=c.deadline_s,
            )
            for c in m.checks
        ),
        rule=PartRule(
            anomaly_views=m.anomaly_views,
            presence_min_judged={c: int(n) for c, n in zip(m.presence_components, m.presence_min_judged, strict=True)},
            presence_correlation=m.presence_correlation,
        ),
        deadline_s=m.deadline_s,
    )


def plan_is_over(m: msg.InspectionPlan, now_ns: int) -> bool:
    """Whether a plan is of the past: latched plans and evidence come again to a node that was started again."""
    return now_ns - time_from_msg(m.stamp) > m.deadline_s * 1e9


def end_to_msg(e: InspectionEnd) -> msg.InspectionEnd:
    return msg.InspectionEnd(
        stamp=time_to_msg(e.stamp_ns),
        inspection_id=e.inspection_id,
        complete=e.complete,
        reasons=[reason_to_msg(r) for r in e.reasons],
    )


def end_from_msg(m: msg.InspectionEnd) -> InspectionEnd:
    return InspectionEnd(m.inspection_id, time_from_msg(m.stamp), m.complete, reasons_from_msg(m.reasons))


def event_to_msg(e: Event) -> msg.Event:
    return msg.Event(
        stamp=time_to_msg(e.stamp_ns),
        inspection_id=e.inspection_id,
        source=e.source,
        severity=int(e.severity),
        code=int(e.code),
        text=e.text,
    )


def event_from_msg(m: msg.Event) -> Event:
    return Event(m.inspection_id, time_from_msg(m.stamp), m.source, Severity(m.severity), Code(m.code), m.text)


def proposal_to_msg(p: VerdictProposal, results: Iterable[CheckResult]) -> msg.VerdictProposal:
    return msg.VerdictProposal(
        stamp=time_to_msg(p.stamp_ns),
        inspection_id=p.inspection_id,
        verdict=int(p.verdict),
        reasons=[reason_to_msg(r) for r in p.reasons],
        results=[check_to_msg(r, p.stamp_ns) for r in results],
    )


def proposal_from_msg(m: msg.VerdictProposal) -> tuple[VerdictProposal, tuple[CheckResult, ...]]:
    proposal = VerdictProposal(m.inspection_id, Verdict(m.verdict), reasons_from_msg(m.reasons), time_from_msg(m.stamp))
    return proposal, tuple(check_from_msg(r) for r in m.results)


def verdict_to_msg(v: PartVerdict, heartbeat: int) -> msg.PartVerdict:
    return msg.PartVerdict(
        stamp=time_to_msg(v.stamp_ns),
        inspection_id=v.inspection_id,
        request_id=v.request_id,
        serial=v.serial,
        recipe=v.recipe,
        recipe_hash=v.recipe_hash,
        verdict=int(v.verdict),
        reasons=[reason_to_msg(r) for r in v.reasons],
        disposition=int(v.disposition),
        mode=int(v.mode),
        simulated=v.simulated,
        mass_kg=float(v.mass_kg),
        timing_names=list(v.timings_s),
        timings_s=[float(s) for s in v.timings_s.values()],
        heartbeat=heartbeat,
    )


def verdict_from_msg(m: msg.PartVerdict) -> PartVerdict:
    return PartVerdict(
        inspection_id=m.inspection_id,
        request_id=m.request_id,
        serial=m.serial,
        recipe=m.recipe,
        recipe_hash=m.recipe_hash,
        verdict=Verdict(m.verdict),
        reasons=reasons_from_msg(m.reasons),
        disposition=Disposition(m.disposition),
        mode=Mode(m.mode),
        simulated=m.simulated,
        stamp_ns=time_from_msg(m.stamp),
        mass_kg=m.mass_kg,
        timings_s=dict(zip(m.timing_names, m.timings_s, strict=True)),
    )
