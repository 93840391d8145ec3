"""What people and technicians see of a running cell: pictures of each camera, health and parameters of each node."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from cell_support import Cell, wait_until
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import DescribeParameters, ListParameters, SetParameters
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState

from inspection_cell.core.check import Outcome
from inspection_cell.core.plan import CameraRole, CheckKind
from inspection_cell.nodes import convert, qos
from inspection_cell.records.store import RecordStore


def stamps(ear) -> set[int]:
    return {convert.time_from_msg(m.header.stamp) for m in ear.messages}


@pytest.mark.parametrize("role", ["inspection", "wide"])
def test_pictures_are_the_recorded_pixels(cell: Cell, role: str) -> None:
    camera, probe = f"camera_{role}", cell.probe
    with (
        probe.listen(Image, f"{camera}/image_raw", qos.PICTURES) as raw,
        probe.listen(CameraInfo, f"{camera}/camera_info", qos.PICTURES) as info,
        probe.listen(CompressedImage, f"{camera}/image_raw/compressed", qos.PICTURES) as preview,
    ):
        for ear in (raw, info, preview):
            ear.wait_connected()
        verdict = cell.inspect_one().verdict
        store = RecordStore.in_folder(cell.data)
        record = store.get(verdict.inspection_id)
        views = {v.view_id: v for v in record.views if v.role is CameraRole[role.upper()]}
        assert len(views) == 2
        for ear in (raw, info, preview):
            ear.wait(lambda m: convert.time_from_msg(m.header.stamp) == max(v.stamp_ns for v in views.values()))
            assert stamps(ear) == {v.stamp_ns for v in views.values()}
    for view in views.values():
        stored = next(r for r in record.results if r.kind is CheckKind.RECORD and r.view_id == view.view_id)
        assert stored.outcome is Outcome.NOTHING_FOUND
        pixels, encoding = store.images.read_view(verdict.inspection_id, stored.artifact, stored.artifact_sha256)
        image, camera_info, jpeg = (
            next(m for m in ear.messages if convert.time_from_msg(m.header.stamp) == view.stamp_ns)
            for ear in (raw, info, preview)
        )
        assert (image.encoding, image.height, image.width) == (encoding, *pixels.shape)
        assert np.array_equal(np.frombuffer(image.data, np.uint8).reshape(pixels.shape), pixels)
        assert image.header.frame_id == camera_info.header.frame_id == f"camera_{role}_optical_frame"
        assert np.array_equal(np.asarray(camera_info.k).reshape(3, 3), view.camera.matrix)
        shown = cv2.imdecode(np.frombuffer(jpeg.data, np.uint8), cv2.IMREAD_GRAYSCALE)
        assert jpeg.format == "jpeg" and shown.shape == pixels.shape
        assert np.abs(shown.astype(int) - pixels).mean() < 4
    store.close()


def test_pictures_are_made_only_while_somebody_looks(cell: Cell) -> None:
    """The preview alone is subscribed: a node that listens to image_raw later gets only what is taken later."""
    cell.inspect_one()
    with cell.probe.listen(CompressedImage, "camera_wide/image_raw/compressed", qos.PICTURES) as preview:
        preview.wait_connected()
        cell.inspect_one()
        preview.wait()
        with cell.probe.listen(Image, "camera_wide/image_raw", qos.PICTURES) as raw:
            raw.wait_connected()
            last = cell.inspect_one().verdict.inspection_id
            raw.wait()
    store = RecordStore.in_folder(cell.data)
    mine = {v.stamp_ns for v in store.get(last).views}
    store.close()
    assert stamps(raw) <= mine
    subscriptions = cell.probe.node.count_subscribers
    namespace = f"/{cell.config.namespace}"
    wait_until(lambda: subscriptions(f"{namespace}/camera_wide/image_raw") == 0, 20.0, "the end of the subscription")


def test_every_node_reports_its_health(cell: Cell) -> None:
    names = {f"/{cell.config.namespace}/{node}" for node in cell.config.nodes}
    with cell.probe.listen(DiagnosticArray, "/diagnostics") as ear:

        def healthy() -> set[str]:
            statuses = [s for m in ear.messages for s in m.status]
            return {s.name for s in statuses if s.level == DiagnosticStatus.OK and s.message == "working"}

        wait_until(lambda: names <= healthy(), 30.0, "the health of every node")
        values = {s.name: {v.key: v.value for v in s.values} for m in ear.messages for s in m.status}
    prefix = f"/{cell.config.namespace}/"
    assert "BaslerCamEmu" in values[f"{prefix}camera_wide"]["camera"] or values[f"{prefix}camera_wide"]["camera"]
    assert int(values[f"{prefix}camera_inspection"]["frames"]) > 0
    assert values[f"{prefix}cell"]["state"] == "READY" and values[f"{prefix}cell"]["recipe"] == cell.recipe
    assert values[f"{prefix}signals"] == {"protective stop": "False", "door closed": "True", "valid": "True"}
    assert set(values[f"{prefix}lifecycle_manager"]) >= set(cell.config.nodes) - {"lifecycle_manager"}


def test_every_parameter_of_every_node_is_described(cell: Cell) -> None:
    for node in cell.config.nodes:
        assert cell.probe.lifecycle_state(node) == "active"
        names = cell.probe.call(ListParameters, f"{node}/list_parameters").result.names
        ours = [n for n in names if n not in ("use_sim_time", "start_type_description_service")]
        described = cell.probe.call(DescribeParameters, f"{node}/describe_parameters", names=ours).descriptors
        assert {"cell_config", "data"} <= set(ours)
        assert [d.name for d in described if not d.description] == [], node


def test_a_setting_of_a_working_camera_is_not_changed_behind_its_back(cell: Cell) -> None:
    value = ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=200)
    parameters = [Parameter(name="dark_level", value=value)]
    answer = cell.probe.call(SetParameters, "camera_wide/set_parameters", parameters=parameters).results[0]
    assert not answer.successful and "dark_level" in answer.reason


def test_the_arm_publishes_its_joints(cell: Cell) -> None:
    with cell.probe.listen(JointState, "joint_states") as ear:
        cell.inspect_one()
        ear.wait()
        positions = np.array([m.position for m in ear.messages])
    assert np.isfinite(positions).all() and len(set(ear.messages[0].name)) == positions.shape[1] >= 6
    assert np.ptp(positions, axis=0).max() > 0.1, "the arm moved"


def test_a_wrong_capture_is_an_answer_with_a_reason(cell: Cell) -> None:
    from inspection_cell_interfaces.srv import Capture

    answer = cell.probe.call(Capture, "camera_wide/capture", 60.0, exposure_s=0.01, light="moon", mounting=1)
    assert not answer.success and answer.reason.code and answer.reason.text
    answer = cell.probe.call(Capture, "camera_wide/capture", 60.0, exposure_s=-1.0, light="ring", mounting=1)
    assert not answer.success and answer.reason.code and answer.reason.text
