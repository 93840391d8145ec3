"""The picture of one moment: a part, and the gripper that holds it, before a camera under the cell's lights."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import numpy as np
import trimesh
from numpy.typing import NDArray

from inspection_cell.cad.assembly import load_assembly
from inspection_cell.cad.mesh import corner_normals, welded
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose
from inspection_cell.simulation import defects, demo_part, gripper_shape, sensor
from inspection_cell.simulation.appearance import Appearance, appearance, seat
from inspection_cell.simulation.render import Item, Lighting, Renderer
from inspection_cell.simulation.truth import MARKS, MESH_EDITS, DefectKind, PartTruth

EDITED_PARTS_KEPT = 4
RING_DISTANCE_M = 0.33


@dataclass(frozen=True)
class Shot:
    """How one image is taken.

    Attributes:
        light: levels 0 to 1 by channel, "ring" and "dome"; a channel that is not named is off.
        noise_seed: makes the sensor's noise.
        ring_distance_m: where the ring's level holds.
    """

    camera: CameraModel
    exposure_s: float
    gain_db: float = 0.0
    light: Mapping[str, float] = field(default_factory=lambda: {"ring": 1.0})
    noise_seed: int | tuple[int, ...] = 0
    pixel_format: sensor.PixelFormat = "mono8"
    ring_distance_m: float = RING_DISTANCE_M


@dataclass(frozen=True)
class PlacedPart:
    """A part before the camera."""

    truth: PartTruth
    T_camera_part: Pose


@dataclass(frozen=True)
class PlacedGripper:
    """The gripper before the camera; width_m is the jaws' distance."""

    T_camera_tool: Pose
    width_m: float


class Scene:
    """The demo part's meshes on the graphics device. Belongs to the thread that made it.

    Args:
        folder: of the demo part's STEP files.

    Attributes:
        centre: (3,) the part's middle, metres, part frame.
    """

    def __init__(self, folder: Path) -> None:
        assembly = load_assembly(folder / demo_part.CAD_FILE)
        self.centre = assembly.centre
        self._components = {c.name: c for c in assembly.components}
        self._wrong = {c.name: c for file in demo_part.WRONG_FILES for c in load_assembly(folder / file).components}
        unknown = set(self._components) - set(demo_part.MATERIALS)
        if unknown:
            raise ValueError(
                f"{folder / demo_part.CAD_FILE}: no material for {sorted(unknown)}; add it to demo_part.py"
            )
        self._centres = {n: (c.vertices.min(axis=0) + c.vertices.max(axis=0)) / 2 for n, c in self._components.items()}
        self._solid = welded(self._components["housing"])
        self._renderer = Renderer()
        self._edited: OrderedDict[str, None] = OrderedDict()
        for name, component in self._components.items():
            self._renderer.upload(name, _corners(welded(component)))
        for name, component in self._wrong.items():
            self._renderer.upload(f"wrong/{name}", _corners(welded(component)))
        for name, mesh in gripper_shape.meshes().items():
            self._renderer.upload(name, _corners(mesh))

    @property
    def renderer_name(self) -> str:
        """The graphics device that draws."""
        return self._renderer.name

    def render(self, shot: Shot, part: PlacedPart | None = None, gripper: PlacedGripper | None = None) -> sensor.Image:
        """The image the camera delivers: (h, w) uint8, or (h, w, 3) for colour."""
        light = self.light(shot, part, gripper)
        return sensor.expose(light, shot.exposure_s, shot.gain_db, shot.pixel_format, shot.noise_seed)

    def light(self, shot: Shot, part: PlacedPart | None, gripper: PlacedGripper | None) -> NDArray[np.float32]:
        """What reaches the sensor, without blur and noise: (h, w) or (h, w, 3) float32."""
        if shot.pixel_format not in get_args(sensor.PixelFormat):
            raise ValueError(f"pixel format {shot.pixel_format!r} is none of {', '.join(get_args(sensor.PixelFormat))}")
        unknown = set(shot.light) - {"ring", "dome"}
        if unknown:
            raise ValueError(f"light channels {sorted(unknown)} are unknown; the simulated cell has 'ring' and 'dome'")
        lighting = Lighting(shot.light.get("ring", 0.0), shot.light.get("dome", 0.0), shot.ring_distance_m)
        items = self._part_items(part) if part is not None else []
        if gripper is not None:
            items += _gripper_items(gripper)
        return self._renderer.draw(items, shot.camera, lighting, colour=shot.pixel_format != "mono8")

    def _part_items(self, part: PlacedPart) -> list[Item]:
        truth = part.truth
        look = appearance(truth.seed)
        missing = truth.components_with(DefectKind.MISSING_COMPONENT)
        wrong = truth.components_with(DefectKind.WRONG_COMPONENT)
        items = []
        for name in self._components:
            if name in missing:
                continue
            key = f"wrong/{name}" if name in wrong else name
            if name == "housing":
                key = self._housing_key(truth)
            T_camera_model = part.T_camera_part @ seat(name, truth.seed, self._centres[name])
            items.append(_part_item(name, key, T_camera_model, look, _marks(truth, name)))
        return items

    def _housing_key(self, truth: PartTruth) -> str:
        """The mesh of this part's housing, made when it is first seen; the latest few are kept."""
        edits = tuple(d for d in truth.defects if d.kind in MESH_EDITS)
        if not edits:
            return "housing"
        key = "edited/" + repr(edits)
        if key not in self._edited:
            mesh = self._solid
            for defect in edits:
                if defect.kind is DefectKind.MISSING_GEOMETRY:
                    mesh = defects.cut(mesh, defect)
            corners = _corners(mesh)
            for defect in edits:
                if defect.kind is DefectKind.DEFORMATION:
                    corners = defects.bend(corners, defect)
            self._renderer.upload(key, corners)
            self._edited[key] = None
            if len(self._edited) > EDITED_PARTS_KEPT:
                self._renderer.forget(self._edited.popitem(last=False)[0])
        self._edited.move_to_end(key)
        return key


def _part_item(name: str, key: str, T_camera_model: Pose, look: Appearance, drawn: NDArray[np.float32]) -> Item:
    return Item(
        key=key,
        T_camera_model=T_camera_model,
        material=demo_part.MATERIALS[name],
        tint=look.tone,
        gloss=look.gloss,
        bump=look.roughness,
        texture_offset=(float(look.texture_offset[0]), float(look.texture_offset[1])),
        print_offset=(float(look.print_offset[0]), float(look.print_offset[1])),
        print_ink=look.print_ink,
        marks=drawn,
    )


def _marks(truth: PartTruth, component: str) -> NDArray[np.float32]:
    drawn = [defects.marks(d) for d in truth.defects if d.kind in MARKS and d.component == component]
    return np.vstack(drawn) if drawn else np.zeros((0, 8), np.float32)


def _gripper_items(gripper: PlacedGripper) -> list[Item]:
    items = [Item(gripper_shape.HAND, gripper.T_camera_tool, demo_part.HAND)]
    for T_tool_finger in gripper_shape.finger_poses(gripper.width_m):
        items.append(Item(gripper_shape.FINGER, gripper.T_camera_tool @ T_tool_finger, demo_part.FINGER))
    return items


def _corners(mesh: trimesh.Trimesh) -> NDArray[np.float64]:
    """(m, 3, 6) position and normal of each triangle's corners."""
    return np.concatenate([mesh.vertices[mesh.faces], corner_normals(mesh)], axis=2)
