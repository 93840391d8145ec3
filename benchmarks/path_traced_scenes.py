"""What is in the path-traced pictures: the demo part's components, the taskboard's parts, and what lies around them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import trimesh
from alignment_part import taskboard
from numpy.typing import NDArray
from path_traced_looks import STEELS, Look, anodised, any_look, black_plastic, dull, metal, plastic, printed
from path_traced_render import Body, Shape, Stage, on_half_pixels
from path_traced_setting import GROUND, something_else, stage_of, surroundings

from inspection_cell.cad.assembly import Assembly, Component, load_assembly
from inspection_cell.cad.render import GeometryRenderer
from inspection_cell.cad.visibility import projected_box
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, inverse, look_at, make_pose, perturb, rotation_from_vector
from inspection_cell.presence.expectation import crop_camera, square_box
from inspection_cell.simulation.demo_part import CAD_FILE, LOOSE_COMPONENTS, WRONG_FILES
from inspection_cell.training.presence_scenes import SceneSettings

SEAT = SceneSettings()
CAMERA = CameraModel.pinhole(1600, 1200, 4000.0)
LEAST_VISIBLE = 0.5
LEAST_CHANGE = 0.2
"""Of the component's visible pixels that a wrong one in its place must change, as in training."""
ATTEMPTS, PARTS = 60, 20
"""Poses that are tried for a view, and parts for one that is seen in all of its views."""
Seed = tuple[int, ...]


@dataclass(frozen=True)
class Scene:
    """A stage and what is true of it; see the manifest's fields."""

    stage: Stage
    T_camera_part: Pose
    T_camera_part_aligned: Pose
    hidden: tuple[str, ...]
    visible: float


class DemoScenes:
    """The ring housing's small components, each in its place, missing, or with something else there."""

    subject, labels = "demo", ("present", "missing", "present", "wrong")

    def __init__(self, folder: Path) -> None:
        self.assembly = load_assembly(folder / CAD_FILE)
        self.names = LOOSE_COMPONENTS
        self._wrong = [c for file in WRONG_FILES for c in load_assembly(folder / file).components]
        self._renderer = GeometryRenderer(self.assembly)
        self._shapes = {c.name: Shape.of(c) for c in self.assembly.components}
        self._loose = [Shape.of(c) for c in self._wrong]

    def make(self, name: str, label: str, part: Seed, views: Sequence[Seed], own: int, size: int) -> Scene:
        """View number `own` of a part, of which all `views` show the component; RuntimeError when none is found.

        The part's surfaces, lamps, surroundings, seats and error of the pose follow from its seed alone.
        """
        for attempt in range(PARTS):
            seed = (*part, attempt)
            scenes = [self._view(name, label, seed, (*view, attempt), size) for view in views]
            if all(scenes):
                scene = scenes[own]
                assert scene is not None
                return scene
        raise RuntimeError(f"no part was found that shows {name} ({label}) in {len(views)} views")

    def _view(self, name: str, label: str, part: Seed, view: Seed, size: int) -> Scene | None:
        of_view = np.random.default_rng(view)
        for _ in range(ATTEMPTS):
            T, rng = self._pose(of_view), np.random.default_rng(part)
            T_aligned = _aligned(T, rng)
            box = square_box(self.assembly.components[self.assembly.index(name)], T_aligned, CAMERA)
            if box is None or min(box[:2]) < 0 or box[0] + box[2] > CAMERA.width or box[1] + box[3] > CAMERA.height:
                continue
            camera = on_half_pixels(crop_camera(CAMERA, box, size))
            if _visible(self._renderer, name, T, camera, []) < LEAST_VISIBLE:
                continue
            wrong = self._wrong_one(name, rng) if label == "wrong" else None
            if wrong and not self._differs(name, wrong, T, camera):
                continue
            bodies, hidden = self._bodies(name, label, wrong, rng)
            around = self._around(rng, inverse(T)[:3, 3])
            visible = _visible(self._renderer, name, T, camera, _occluders(around))
            if visible < LEAST_VISIBLE:
                continue
            stage = stage_of(rng, [*bodies, *around], camera, inverse(T), self._middle(name), self.assembly.radius)
            return Scene(stage, T, T_aligned, hidden, visible)
        return None

    def bare(self, rng: np.random.Generator, size: int) -> Iterator[tuple[Stage, NDArray[np.bool_]]]:
        """Each component alone, as the CAD has it, and the mask that the rasteriser draws of it."""
        for name in self.names:
            seed = (int(rng.integers(2**32)),)
            scene = self.make(name, "present", seed, [seed], 0, size)
            stage = _alone(scene.stage, Body(self._shapes[name], np.eye(4), dull(rng)))
            others = [n for n in self.assembly.names if n != name]
            yield stage, self._renderer.render(scene.T_camera_part, stage.camera, others).ids >= 0

    def _pose(self, rng: np.random.Generator) -> Pose:
        tilt, turn = np.radians(rng.uniform(*SEAT.off_axis_deg)), rng.uniform(-np.pi, np.pi)
        towards = np.array([np.sin(tilt) * np.cos(turn), np.sin(tilt) * np.sin(turn), np.cos(tilt)])
        eye = self.assembly.centre + towards * self.assembly.radius * rng.uniform(*SEAT.distance)
        return inverse(look_at(eye, self.assembly.centre + rng.normal(0, 0.012, 3), rng.normal(size=3)))

    def _around(self, rng: np.random.Generator, eye: NDArray[np.float64]) -> list[Body]:
        """The ground lies under the part, with or without a gap, or somewhere behind it as the camera looks."""
        middle, radius = self.assembly.centre, self.assembly.radius
        if rng.random() < 0.6:
            gap = 0.0 if rng.random() < 0.5 else radius * rng.uniform(0.1, 1.0)
            beneath = make_pose(None, (0.0, 0.0, self.assembly.bounds[0, 2] - gap))
            return surroundings(rng, beneath, 0.7 * radius, middle, radius, self._loose)
        towards = (eye - middle) / np.linalg.norm(eye - middle)
        at = middle - radius * rng.uniform(1.5, 5.0) * towards
        return surroundings(rng, look_at(at, at + towards + rng.normal(0, 0.2, 3)), 0.0, middle, radius, self._loose)

    def _middle(self, name: str) -> NDArray[np.float64]:
        return _centre(self._shapes[name])

    def _bodies(
        self, name: str, label: str, wrong: Component | None, rng: np.random.Generator
    ) -> tuple[list[Body], tuple[str, ...]]:
        looks = _demo_looks(rng)
        hidden, loose = [], ""
        if rng.random() < 1 / 7:
            other = str(rng.choice([n for n in self.names if n != name]))
            if rng.random() < 0.5:
                hidden.append(other)
            else:
                loose = other
        bodies = []
        for component in self.assembly.names:
            if component in hidden or (component == name and label != "present"):
                continue
            seat = self._seat(component, rng, 5.0 if component == loose else 1.0)
            turned = component == "housing" and rng.random() < 0.5
            texture = 0.013 if component == "label_plate" else 0.03
            bodies.append(Body(self._shapes[component], seat, looks[component.split("_")[0]], texture, turned))
        if wrong:
            look = looks[name.split("_")[0]] if rng.random() < 0.6 else any_look(rng)
            bodies.append(Body(Shape.of(wrong), self._seat(name, rng, 1.0), look))
        return bodies, tuple(hidden)

    def _seat(self, name: str, rng: np.random.Generator, wide: float) -> Pose:
        """How a component sits, as a motion about its middle; `housing` defines the frame and stays."""
        if name not in self.names:
            return np.eye(4)
        turn = rng.normal(0, SEAT.seat_rad * wide, 3)
        if name.startswith(SEAT.spinning):
            turn[2] = rng.uniform(-np.pi, np.pi)
        return _about(self._middle(name), rotation_from_vector(turn), rng.normal(0, SEAT.seat_m * wide, 3))

    def _wrong_one(self, name: str, rng: np.random.Generator) -> Component:
        """The known wrong part, another component, or this one of another size or turned over."""
        right = self.assembly.components[self.assembly.index(name)]
        known = [c for c in self._wrong if c.name == name]
        kind = rng.random()
        if known and kind < 0.6:
            return known[0]
        middle = self._middle(name)
        if kind < 0.8:
            kin = name.split("_")[0]
            other = str(rng.choice([n for n in self.names if not n.startswith(kin)]))
            turn = rotation_from_vector((0, 0, rng.uniform(-np.pi, np.pi)))
            moved = self.assembly.components[self.assembly.index(other)].moved(_about(self._middle(other), turn))
            return moved.moved(make_pose(None, middle - self._middle(other)))
        if kind < 0.9:
            factor = np.exp(rng.choice([-1, 1], 3) * rng.uniform(0.2, 0.5, 3))
            return Component(name, middle + (right.vertices - middle) * factor, right.faces)
        axis = np.eye(3)[rng.integers(2)] * rng.choice([0.5, 1.0]) * np.pi
        return right.moved(_about(middle, rotation_from_vector(axis)))

    def _differs(self, name: str, wrong: Component, T: Pose, camera: CameraModel) -> bool:
        right = self._renderer.render(T, camera)
        other = self._renderer.render(T, camera, [name], [wrong])
        turned = np.einsum("hwc,hwc->hw", right.normals, other.normals) < 0.9
        changed = turned | ((right.depth > 0) != (other.depth > 0))
        seen = np.count_nonzero(right.ids == self.assembly.index(name))
        return bool(np.count_nonzero(changed) > LEAST_CHANGE * seen)


class TaskboardScenes:
    """The parts of the WRS taskboard, each alone among clutter, and the same places without it."""

    subject, labels = "taskboard", ("present", "background")

    def __init__(self, folder: Path, loose: Assembly) -> None:
        """`loose` is an assembly whose components may lie about."""
        self._parts = {a.components[0].name: a for a in taskboard(folder.parent)}
        self.names = tuple(self._parts)
        self._shapes = {name: Shape.of(a.components[0]) for name, a in self._parts.items()}
        self._hulls = {n: trimesh.Trimesh(*_mesh(a)).convex_hull for n, a in self._parts.items()}
        self._renderers = {name: GeometryRenderer(a) for name, a in self._parts.items()}
        self._loose = [Shape.of(c) for c in loose.components if c.name in LOOSE_COMPONENTS]

    def make(self, name: str, label: str, rng: np.random.Generator, size: int) -> Scene:
        """A scene of one part; or without it, with something else there or nothing."""
        part = self._parts[name]
        for _ in range(ATTEMPTS * PARTS):
            T_world_part = self._resting(name, rng)
            middle = T_world_part[:3, :3] @ part.centre + T_world_part[:3, 3]
            T_world_camera = self._view(rng, part.radius, middle)
            T = inverse(T_world_camera) @ T_world_part
            camera = self._crop(rng, part, T, size)
            around = surroundings(rng, np.eye(4), part.radius, middle, part.radius, self._loose)
            in_part = [c.moved(inverse(T_world_part)) for c in _occluders(around)]
            visible = _visible(self._renderers[name], name, T, camera, in_part)
            if visible < LEAST_VISIBLE:
                continue
            look = any_look(rng)
            bodies = [Body(self._shapes[name], T_world_part, look, part.radius)]
            if label == "background":
                bodies = something_else(rng, part.radius, middle)
            stage = stage_of(rng, [*bodies, *around], camera, T_world_camera, middle, 2 * part.radius)
            hidden = (name,) if label == "background" else ()
            return Scene(stage, T, _aligned(T, rng), hidden, visible if label == "present" else 0.0)
        raise RuntimeError(f"no view was found that shows {name}")

    def bare(self, rng: np.random.Generator, size: int) -> Iterator[tuple[Stage, NDArray[np.bool_]]]:
        """Each part alone, and the mask that the rasteriser draws of it."""
        for name in self.names:
            scene = self.make(name, "present", rng, size)
            stage = _alone(scene.stage, scene.stage.bodies[0])
            yield stage, self._renderers[name].render(scene.T_camera_part, stage.camera).ids >= 0

    def _resting(self, name: str, rng: np.random.Generator) -> Pose:
        """On a large side of its convex hull, or floating above the ground, tilted."""
        hull = self._hulls[name]
        face = rng.choice(len(hull.faces), p=hull.area_faces / hull.area_faces.sum())
        rotation = trimesh.geometry.align_vectors(hull.face_normals[face], (0, 0, -1))[:3, :3]
        floating = rng.random() < 0.35
        if floating:
            rotation = rotation_from_vector(rng.normal(0, 0.3, 3)) @ rotation
        rotation = rotation_from_vector((0, 0, rng.uniform(-np.pi, np.pi))) @ rotation
        points = hull.vertices @ rotation.T
        place = -(points.min(axis=0) + points.max(axis=0)) / 2
        place[2] = -points[:, 2].min() + (self._parts[name].radius * rng.uniform(0, 0.6) if floating else 0.0)
        return make_pose(rotation, place)

    def _view(self, rng: np.random.Generator, radius: float, middle: NDArray[np.float64]) -> Pose:
        tilt, turn = np.radians(rng.uniform(5, 65)), rng.uniform(-np.pi, np.pi)
        towards = np.array([np.sin(tilt) * np.cos(turn), np.sin(tilt) * np.sin(turn), np.cos(tilt)])
        return look_at(middle + towards * radius * rng.uniform(*SEAT.distance), middle, rng.normal(size=3))

    def _crop(self, rng: np.random.Generator, part: Assembly, T: Pose, size: int) -> CameraModel:
        x, y, width, height = projected_box(part.components[0].vertices, T, CAMERA, 0.0) or (0, 0, size, size)
        share = rng.uniform(1.15, 1.8)
        side = round(share * max(width, height))
        aside = rng.uniform(-0.3, 0.3, 2) * (share - 1) * max(width, height)
        left, top = np.rint((x + (width - side) / 2, y + (height - side) / 2) + aside).astype(int)
        return on_half_pixels(crop_camera(CAMERA, (int(left), int(top), side, side), size))


# ---- geometry


def _mesh(assembly: Assembly) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    return assembly.components[0].vertices, assembly.components[0].faces


def _centre(shape: Shape) -> NDArray[np.float64]:
    points = shape.corners.reshape(-1, 3)
    return np.asarray((points.min(axis=0) + points.max(axis=0)) / 2)


def _about(middle: NDArray[np.float64], rotation: NDArray[np.float64], shift: Sequence[float] = (0, 0, 0)) -> Pose:
    """A turn about a point, then a shift."""
    return make_pose(rotation, middle + shift) @ make_pose(None, -middle)


def _aligned(T: Pose, rng: np.random.Generator) -> Pose:
    return perturb(T, rng.normal(size=6) * ([SEAT.pose_m] * 3 + [SEAT.pose_rad] * 3))


def _occluders(around: Sequence[Body]) -> list[Component]:
    return [body.component() for body in around if body.shape.name != GROUND]


def _visible(
    renderer: GeometryRenderer, name: str, T: Pose, camera: CameraModel, occluders: Sequence[Component]
) -> float:
    """Share of the component's projected area that nothing hides, all of the assembly being there."""
    index = renderer.assembly.index(name)
    others = [n for n in renderer.assembly.names if n != name]
    alone = np.count_nonzero(renderer.render(T, camera, others).ids == index)
    seen = np.count_nonzero(renderer.render(T, camera, occluders=occluders).ids == index)
    return seen / alone if alone else 0.0


def _alone(stage: Stage, body: Body) -> Stage:
    """One body before a nearly perfect pinhole."""
    return replace(stage, bodies=[body], lamps=[], aperture=1e-7)


def _demo_looks(rng: np.random.Generator) -> dict[str, Look]:
    """By the first word of the component's name: mostly a metal housing, black clips, steel screws, a paper label."""

    def one_of(kinds: Sequence[Callable[[np.random.Generator], Look]], shares: Sequence[float]) -> Look:
        return kinds[rng.choice(len(kinds), p=shares)](rng)

    return {
        "housing": one_of((metal, anodised, plastic), (0.6, 0.15, 0.25)),
        "clip": one_of((black_plastic, plastic, metal), (0.6, 0.25, 0.15)),
        "screw": metal(rng, STEELS) if rng.random() < 0.65 else anodised(rng),
        "label": printed(rng),
    }
