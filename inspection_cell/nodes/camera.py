"""A camera node: lights, triggers, puts the frame into shared memory, publishes the View, stores the pixels."""

from __future__ import annotations

import array
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import cv2
import numpy as np
from inspection_cell_interfaces import msg, srv
from numpy.typing import NDArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Parameter
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from inspection_cell.core.check import CheckResult, Outcome
from inspection_cell.core.plan import CheckKind, Mounting
from inspection_cell.core.reasons import Code, Reason
from inspection_cell.core.verdict import Severity
from inspection_cell.core.view import View
from inspection_cell.devices.camera import Camera, Grab, build_camera
from inspection_cell.devices.light import Light, build_light
from inspection_cell.frames.encodings import to_rgb
from inspection_cell.frames.pool import FramePool, check_space, clean_leftovers
from inspection_cell.nodes import convert, qos
from inspection_cell.nodes.faults import LightFailed, reason_of
from inspection_cell.nodes.managed import ManagedNode
from inspection_cell.recipe.cell_config import ROLES
from inspection_cell.records.images import ImageStore
from inspection_cell.simulation.link import WorldLink, connect_world, run_folder

PREVIEW_WIDTH = 640


class CameraNode(ManagedNode):
    """One camera of the cell; `role` is wide or inspection."""

    def __init__(self, role: Literal["wide", "inspection"], parameter_overrides: list[Parameter] | None = None) -> None:
        super().__init__(f"camera_{role}", parameter_overrides)
        self.role: Literal["wide", "inspection"] = role
        self.frame_id = f"camera_{role}_optical_frame"
        self._camera: Camera | None = None
        self._light: Light | None = None
        self._pool: FramePool | None = None
        self._store: ImageStore | None = None
        self._writer: ThreadPoolExecutor | None = None
        self._world: WorldLink | None = None
        self._one_at_a_time = threading.Lock()
        self._grabs = self._retries = 0
        self._views = self.create_publisher(msg.View, "views", qos.EVIDENCE)
        self._checks = self.create_publisher(msg.CheckResult, "checks", qos.EVIDENCE)
        self._raw = self.create_publisher(Image, "~/image_raw", qos.PICTURES)
        self._info = self.create_publisher(CameraInfo, "~/camera_info", qos.PICTURES)
        self._preview = self.create_publisher(CompressedImage, "~/image_raw/compressed", qos.PICTURES)
        self.create_service(srv.Capture, "~/capture", self._on_capture, callback_group=MutuallyExclusiveCallbackGroup())

    def configure(self) -> None:
        section = self.config.cameras[self.role]
        dark = "brightness (0..255) that the brightest thousandth of a lit frame must reach; below it the light failed"
        self._dark_level = int(self.setting("dark_level", 12, dark))
        self._world = connect_world(self.config, self.data_folder)
        self._camera = build_camera(section.device, self._world.picture_source(self.role) if self._world else None)
        self._camera.open()
        self._light = build_light(self.config.light, self._world)
        prefix = f"{self.config.namespace}_{run_folder(self.data_folder).name[-6:]}_{self.role}"
        clean_leftovers(prefix)
        channels = 1 if section.device.encoding.startswith(("mono", "bayer")) else 3
        frame_bytes = section.device.width * section.device.height * channels
        if (shortage := check_space(section.frame_slots, frame_bytes)) is not None:
            self.get_logger().warning(shortage)
        self._pool = FramePool(prefix, section.frame_slots)
        self._store = ImageStore(self.data_folder / "images")
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")

    def deactivate(self) -> None:
        if self._light is not None:
            self._light.off()

    def cleanup(self) -> None:
        if self._writer is not None:
            self._writer.shutdown(wait=True)
        if self._camera is not None:
            self._camera.close()
        if self._pool is not None:
            self._pool.close()
        if self._world is not None:
            self._world.close()
        self._writer = self._camera = self._pool = self._world = self._light = None

    def diagnose(self) -> dict[str, object]:
        info = self._camera.info if self._camera is not None and self._camera.is_open else None
        return {
            "camera": f"{info.model} {info.serial}" if info else "closed",
            "frames": self._grabs,
            "retried frames": self._retries,
        }

    def _on_capture(self, request: srv.Capture.Request, response: srv.Capture.Response) -> srv.Capture.Response:
        started = time.monotonic()
        try:
            if not self.active:
                raise RuntimeError(f"{self.get_name()} is not active")
            with self._one_at_a_time:
                response.view = self._capture(request)
            response.success = True
        except Exception as error:
            reason = reason_of(error, request.view_id)
            self.event(Severity.FAULT, reason.code, reason.text, request.inspection_id)
            response.success, response.reason = False, convert.reason_to_msg(reason)
        response.duration_s = time.monotonic() - started
        return response

    def _capture(self, request: srv.Capture.Request) -> msg.View:
        assert self._camera is not None and self._light is not None and self._pool is not None
        section = self.config.cameras[self.role]
        self._light.set(request.light)
        grab = self._camera.capture(request.exposure_s, request.gain_db, section.timeout_s)
        self._grabs += 1
        self._refuse_dark(grab.image, request.light)
        handle = self._pool.put(grab.image, grab.encoding)
        view = self._view(request, grab)
        message = convert.view_to_msg(view, handle, self.host, self.frame_id)
        self._views.publish(message)
        if grab.attempts > 1:
            self._retries += 1
            text = f"{grab.attempts} attempts: {'; '.join(grab.reasons)}"
            self.event(Severity.RECOVERED, Code.CAMERA_RETRIED, text, request.inspection_id)
        self._keep(view, grab)
        self._show(grab, message)
        return message

    def _view(self, request: srv.Capture.Request, grab: Grab) -> View:
        section = self.config.cameras[self.role]
        T_world_tool = convert.pose_from_msg(request.t_world_tool)
        mounting = Mounting(request.mounting)
        in_hand = mounting is Mounting.CAMERA_IN_HAND
        return View(
            inspection_id=request.inspection_id,
            view_id=request.view_id,
            grasp=request.grasp,
            viewpoint=request.viewpoint,
            role=ROLES[self.role],
            camera_id=grab.info.serial,
            calibration_id=section.calibration.told,
            stamp_ns=grab.stamp_ns,
            camera=section.model,
            mounting=mounting,
            T_world_camera=section.T_world_camera(T_world_tool, in_hand),
            T_world_tool=T_world_tool,
            T_prior=convert.pose_from_msg(request.t_prior.pose),
            prior_covariance=convert.covariance_from_msg(request.t_prior),
            exposure_s=grab.exposure_s,
            gain_db=grab.gain_db,
            light=request.light,
            attempts=grab.attempts,
            settled=request.settled,
            faults=tuple(Reason(Code.CAMERA_RETRIED, text, request.view_id) for text in grab.reasons),
        )

    def _refuse_dark(self, image: NDArray[np.uint8], light: str) -> None:
        sample = image[::8, ::8]
        brightest = float(np.quantile(sample, 0.999))
        if brightest < self._dark_level:
            raise LightFailed(f"the frame is dark (brightest thousandth {brightest:.0f} of 255) with light {light!r}")

    def _keep(self, view: View, grab: Grab) -> None:
        """Stores the pixels beside the cycle and reports it as a check: a part whose images are lost has not passed."""
        assert self._writer is not None
        self._writer.submit(self.guarded(self._store_and_report), view, grab)

    def _store_and_report(self, view: View, grab: Grab) -> None:
        assert self._store is not None
        started = time.monotonic()
        artifact, sha256, reason, outcome = "", "", None, Outcome.NOTHING_FOUND
        try:
            stored = self._store.write_view(view.inspection_id, view.view_id, grab.image, grab.encoding)
            artifact, sha256 = stored.name, stored.sha256
        except Exception as error:
            reason, outcome = reason_of(error, view.view_id, Code.RECORD_FAILED), Outcome.INVALID
        result = CheckResult(
            inspection_id=view.inspection_id,
            check_id=f"record/{view.view_id}",
            kind=CheckKind.RECORD,
            outcome=outcome,
            score=0.0,
            view_id=view.view_id,
            analysis_s=time.monotonic() - started,
            artifact=artifact,
            artifact_sha256=sha256,
            reason=reason,
        )
        self._checks.publish(convert.check_to_msg(result, time.time_ns()))

    def _show(self, grab: Grab, view: msg.View) -> None:
        """The pictures that everyone expects, made only while somebody looks."""
        if self._info.get_subscription_count():
            self._info.publish(view.camera_info)
        if self._raw.get_subscription_count():
            height, width = grab.image.shape[:2]
            image = Image(
                header=view.header, height=height, width=width, encoding=grab.encoding, step=grab.image.strides[0]
            )
            # An array.array is taken over by rclpy without a look at every byte.
            image.data = _byte_array(grab.image)
            self._raw.publish(image)
        if self._preview.get_subscription_count():
            rgb = to_rgb(grab.image, grab.encoding)
            scale = min(1.0, PREVIEW_WIDTH / rgb.shape[1])
            small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            ok, jpeg = cv2.imencode(".jpg", np.ascontiguousarray(small[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 85])
            if ok:
                self._preview.publish(CompressedImage(header=view.header, format="jpeg", data=jpeg.tobytes()))


def _byte_array(image: NDArray[np.uint8]) -> array.array[int]:
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(image).tobytes())
    return data
