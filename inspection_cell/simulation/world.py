"""The simulated physics: where the part is, how the hand holds it, what is lit, what each camera would see now."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from inspection_cell.core.poses import Pose, inverse, is_pose, make_pose, perturb, rotation_angle
from inspection_cell.core.verdict import Disposition
from inspection_cell.simulation.config import Role, WorldConfig
from inspection_cell.simulation.faults import Faults
from inspection_cell.simulation.scene import PlacedGripper, PlacedPart, Scene, Shot
from inspection_cell.simulation.sensor import Image, PixelFormat
from inspection_cell.simulation.truth import PartTruth

GRIP_REACH_M, GRIP_REACH_RAD = 0.006, math.radians(6)
RELEASE_REACH_M = 0.03
NEAREST_M = 0.06
PLACES = {
    "infeed": Disposition.INFEED,
    "scale": Disposition.SCALE,
    "good": Disposition.GOOD_BIN,
    "reject": Disposition.REJECT_BIN,
    "rework": Disposition.REWORK_BIN,
}


@dataclass(frozen=True)
class _Part:
    """The part in the cell. In the hand: T_reference_part is T_tool_part; else T_world_part."""

    truth: PartTruth
    place: Disposition
    T_reference_part: Pose
    grasps: int = 0
    exposures: int = 0


@dataclass(frozen=True)
class _Moment:
    """Everything that a camera's picture depends on."""

    T_world_tool: Pose
    width_m: float
    light: Mapping[str, float] = field(default_factory=dict)
    part: _Part | None = None


class World:
    """The state of the simulated cell; every method may be called from any thread.

    Stations are nests: a part that is let go there comes to rest exactly at the station's pose. In the hand, and in the
    infeed of a cell whose arm grips nothing, it is anywhere within the configured offsets.
    """

    def __init__(self, config: WorldConfig) -> None:
        self._config = config
        stations = ((name, getattr(config.stations, name)) for name in PLACES)
        self._stations = {name: np.array(pose) for name, pose in stations if pose is not None}
        self._cameras = {role: spec.model for role, spec in config.cameras.items()}
        self._lock = threading.Lock()
        self._now = _Moment(np.eye(4), config.open_width_m)
        self._faults = Faults()
        self._signals = (False, True)
        # One thread owns the graphics context: it can be used from no other.
        self._painter = ThreadPoolExecutor(1, thread_name_prefix="simulation-renderer")
        self._scene = self._painter.submit(Scene, config.part_folder).result()

    def close(self) -> None:
        """Ends the rendering thread."""
        self._painter.shutdown(wait=True, cancel_futures=True)

    @property
    def renderer_name(self) -> str:
        """The graphics device that draws."""
        return self._scene.renderer_name

    def present_part(self, truth: PartTruth) -> None:
        """Puts a new part at the infeed; one that is still somewhere in the cell is taken away."""
        T_world_part = self._stations["infeed"]
        if not self._config.grasps:
            T_world_part = self._off(T_world_part, np.random.default_rng([self._config.seed, truth.seed]))
        with self._lock:
            self._now = replace(self._now, part=_Part(truth, Disposition.INFEED, T_world_part))

    def part(self) -> PartTruth | None:
        """The truth about the part in the cell; for tests and statistics only."""
        part = self._now.part
        return part.truth if part else None

    def T_tool_part(self) -> Pose | None:
        """How the hand truly holds the part; None when it holds none. For tests and statistics only."""
        part = self._now.part
        return part.T_reference_part if part and part.place is Disposition.GRIPPER else None

    def disposition(self) -> Disposition:
        """Where the part is; UNKNOWN when there is none or it was dropped."""
        part = self._now.part
        return part.place if part else Disposition.UNKNOWN

    def set_tool(self, T_world_tool: Pose) -> None:
        """The arm moved.

        Raises:
            ValueError: not a rigid pose.
        """
        pose = np.array(T_world_tool, float)
        if not is_pose(pose):
            raise ValueError(f"T_world_tool {pose.tolist()} is not a rigid pose")
        with self._lock:
            self._now = replace(self._now, T_world_tool=pose)
            if self._held() and self._faults.take("lost_part"):
                self._drop()

    def grip(self, width_m: float, force_n: float) -> float:
        """Closes the jaws to `width_m`, or until they meet the part.

        Returns:
            the jaws' distance then, metres: the part's width where it was gripped, else 0.
        """
        if not (math.isfinite(force_n) and force_n > 0):
            raise ValueError(f"gripping force {force_n} N: must be positive")
        with self._lock:
            width = 0.0
            if self._held():
                width = self._now.width_m
            elif not self._faults.take("grip_missed"):
                width = self._try_grip(width_m)
            self._now = replace(self._now, width_m=width)
            return width

    def open(self, width_m: float) -> float:
        """Opens the jaws; a part that they held comes to rest where it was let go. Returns the jaws' distance."""
        with self._lock:
            part = self._now.part
            if part is not None and part.place is Disposition.GRIPPER and width_m > self._now.width_m:
                T_world_part = self._now.T_world_tool @ part.T_reference_part
                name, distance = min(
                    ((n, float(np.linalg.norm(T[:3, 3] - T_world_part[:3, 3]))) for n, T in self._stations.items()),
                    key=lambda item: item[1],
                )
                if distance <= RELEASE_REACH_M:
                    self._now = replace(
                        self._now, part=replace(part, place=PLACES[name], T_reference_part=self._stations[name])
                    )
                else:
                    self._drop()
            self._now = replace(self._now, width_m=min(max(width_m, 0.0), self._config.open_width_m))
            return self._now.width_m

    def read_width(self) -> float:
        """The jaws' distance, metres."""
        return self._now.width_m

    def set_light(self, levels: Mapping[str, float]) -> None:
        """Sets every light channel, 0 to 1; one that is not named goes off."""
        wrong = {name: level for name, level in levels.items() if not 0 <= level <= 1}
        if wrong:
            raise ValueError(f"light levels {wrong}: must be from 0 to 1")
        with self._lock:
            self._now = replace(self._now, light=dict(levels))

    def expose(self, role: Role, exposure_s: float, gain_db: float, pixel_format: PixelFormat = "mono8") -> Image:
        """What a camera delivers if it is triggered now: (h, w) uint8, or (h, w, 3) for colour.

        Raises:
            ValueError: there is no such camera, or the light or pixel format is unknown.
        """
        if role not in self._cameras:
            raise ValueError(f"camera {role!r} is none of {', '.join(self._cameras)}")
        with self._lock:
            now = self._now
            if now.part is not None:
                self._now = replace(now, part=replace(now.part, exposures=now.part.exposures + 1))
            black, wrong_size = self._faults.take("black", role), self._faults.take("wrong_size", role)
        camera = self._cameras[role]
        if wrong_size:
            camera = camera.cropped(0, 0, camera.width // 2, camera.height // 2)
        part, gripper = self._seen(now, role)
        marks = (now.part.truth.seed, now.part.exposures) if now.part else (0, 0)
        shot = Shot(
            camera=camera,
            exposure_s=exposure_s,
            gain_db=gain_db,
            light={} if black else now.light,
            noise_seed=(self._config.seed, *marks, list(self._cameras).index(role)),
            pixel_format=pixel_format,
            ring_distance_m=self._config.cameras[role].light_distance_m,
        )
        return self._painter.submit(self._scene.render, shot, part, gripper).result()

    def scale_load_kg(self) -> float:
        """What presses on the pan: the part's true mass when it stands there free, else 0."""
        part = self._now.part
        return part.truth.mass_kg if part and part.place is Disposition.SCALE else 0.0

    def drop_part(self) -> None:
        """The part falls out of the hand, or off its place."""
        with self._lock:
            self._drop()

    def inject(self, fault: str, count: int = 1, role: str = "", mode: str = "") -> None:
        """Makes something fail; see `faults.FAULTS` for what there is."""
        self._faults.inject(fault, count, role, mode)

    def take_fault(self, fault: str, role: str = "") -> bool:
        """For a simulated device: whether it must fail so now; each injected fault is taken once."""
        return self._faults.take(fault, role)

    def clear_faults(self) -> None:
        """Everything works again."""
        self._faults.clear()

    def set_signals(self, protective_stop: bool, door_closed: bool) -> None:
        """What the safety controller says from now on."""
        with self._lock:
            self._signals = (protective_stop, door_closed)

    def signals(self) -> tuple[bool, bool]:
        """What the safety controller says: protective stop, door closed."""
        return self._signals

    def scale_mode(self) -> str:
        """How the simulated scale must behave, a value of its fault enumeration; "none" when well."""
        return self._faults.scale_mode

    def _held(self) -> bool:
        return self._now.part is not None and self._now.part.place is Disposition.GRIPPER

    def _drop(self) -> None:
        part = self._now.part
        if part is None:
            return
        below = np.eye(4)
        below[2, 3] = -10.0
        # Jaws that hold nothing any more close.
        width = 0.0 if part.place is Disposition.GRIPPER else self._now.width_m
        gone = replace(part, place=Disposition.UNKNOWN, T_reference_part=below)
        self._now = replace(self._now, part=gone, width_m=width)

    def _try_grip(self, width_m: float) -> float:
        """Grips the part when the tool is where some grasp would have it."""
        part = self._now.part
        if part is None or part.place not in (Disposition.INFEED, Disposition.SCALE):
            return 0.0
        T_tool_part = inverse(self._now.T_world_tool) @ part.T_reference_part
        for i, grasp in enumerate(self._config.grasps):
            off = inverse(np.array(grasp.T_tool_part)) @ T_tool_part
            near = np.linalg.norm(off[:3, 3]) < GRIP_REACH_M and rotation_angle(off[:3, :3]) < GRIP_REACH_RAD
            if near and width_m <= grasp.width_m:
                rng = np.random.default_rng([self._config.seed, part.truth.seed, i, part.grasps])
                held = self._off(T_tool_part, rng)
                gripped = replace(part, place=Disposition.GRIPPER, T_reference_part=held, grasps=part.grasps + 1)
                self._now = replace(self._now, part=gripped)
                return grasp.width_m
        return 0.0

    def _off(self, T_reference_part: Pose, rng: np.random.Generator) -> Pose:
        """Shifted and turned about the part's centre, anywhere within the configured bounds alike."""
        shift = self._config.part_offset_m * _in_ball(rng)
        turn = math.radians(self._config.part_offset_deg) * _in_ball(rng)
        centre = make_pose(None, self._scene.centre)
        return perturb(T_reference_part @ centre, np.concatenate([shift, turn])) @ inverse(centre)

    def _seen(self, now: _Moment, role: Role) -> tuple[PlacedPart | None, PlacedGripper | None]:
        """Part and gripper in the camera's frame, as far as they are before it."""
        camera = self._config.cameras[role]
        T_world_camera = now.T_world_tool @ camera.T_world_camera if camera.on_tool else np.array(camera.T_world_camera)
        T_camera_world = inverse(T_world_camera)
        part = None
        if now.part is not None:
            held = now.part.place is Disposition.GRIPPER
            T_world_part = now.T_world_tool @ now.part.T_reference_part if held else now.part.T_reference_part
            part = PlacedPart(now.part.truth, T_camera_world @ T_world_part)
        gripper = PlacedGripper(T_camera_world @ now.T_world_tool, now.width_m)
        return (
            part if part is not None and part.T_camera_part[2, 3] > NEAREST_M else None,
            gripper if gripper.T_camera_tool[2, 3] > NEAREST_M else None,
        )


def _in_ball(rng: np.random.Generator) -> NDArray[np.float64]:
    """(3,) uniform in the unit ball."""
    direction = rng.normal(0, 1, 3)
    return np.asarray(direction / np.linalg.norm(direction) * rng.random() ** (1 / 3), float)
