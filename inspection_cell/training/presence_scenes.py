"""Training pictures of components in their place, from the CAD alone, under random light: present, missing, wrong."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import trimesh
from numpy.typing import NDArray

from inspection_cell.cad.assembly import Assembly, Component
from inspection_cell.cad.render import GeometryRenderer
from inspection_cell.cad.shading import Light, Material, Shading
from inspection_cell.cad.visibility import inside_image
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, inverse, look_at, make_pose, perturb, rotation_from_vector
from inspection_cell.presence.expectation import SIZE_PX, Expectation, crop_camera, made_of, square_box
from inspection_cell.training.presence_wrong import SEPARATOR, with_wrong_ones

PRESENT, MISSING, WRONG = 0, 1, 2
SUPERSAMPLE = 2
TRIES = 12
"""Directions that are tried for a view of one part, before another part is taken."""
LEAST_VISIBLE = 0.35
LEAST_AREA_PX = 150.0
LEAST_CHANGE = 0.2
LEAST_CONTRAST, LEAST_OF_NOISE = 0.3, 2.0
"""What a component that is there changes in the picture where it is (root mean square): of the picture's own standard
deviation, and of the noise's. What nobody can see is no example of "present": it would teach to pass missing ones."""


def judged_names(assembly: Assembly, without: tuple[str, ...]) -> tuple[str, ...]:
    """The components to be judged: all but these.

    Raises:
        ValueError: a name that the assembly does not have, or nothing left.
    """
    known = ", ".join(assembly.names)
    for name in without:
        if name not in assembly.names:
            raise ValueError(f"{assembly.source}: has no component {name!r} to leave out; it has {known}")
    names = tuple(name for name in assembly.names if name not in without)
    if not names:
        raise ValueError(f"{assembly.source}: no component is left to be judged; it has {known}")
    return names


@dataclass(frozen=True)
class SceneSettings:
    """What is random in a training picture.

    Attributes:
        spinning: beginnings of the names of components that may sit turned about the part's z axis (screws).
        seat_m, seat_rad: standard deviation of how a good component sits.
        pose_m, pose_rad: standard deviation of the aligned pose's error; a fifth of the pictures gets 2.5 times that.
        distance: camera to part, in radii of the part.
        off_axis_deg: between the part's z axis and the direction to the camera, above the part and below it.
        wrong_each: wrong shapes of each component.
    """

    spinning: tuple[str, ...] = ("screw",)
    seat_m: float = 0.00008
    seat_rad: float = 0.008
    pose_m: float = 0.00012
    pose_rad: float = 0.002
    distance: tuple[float, float] = (5.5, 12.0)
    off_axis_deg: tuple[float, float] = (10.0, 60.0)
    wrong_each: int = 42


@dataclass(frozen=True)
class Sample:
    """One training example: (64, 64) grey 0 to 255, the expectation, the class, and which component it is of."""

    grey: NDArray[np.float32]
    expected: Expectation
    label: int
    component: str


@dataclass(frozen=True)
class _Part:
    """What is the same in all views of a part.

    Attributes:
        error: (6,) of the aligned pose. known: those of the occluders that the cell knows of.
        hidden: what is not there. moved: how the rest sits. seed: of light, surfaces and exposure.
    """

    label: int
    component: str
    wrong: str
    error: NDArray[np.float64]
    occluders: list[Component]
    known: list[Component]
    hidden: list[str]
    moved: dict[str, Pose]
    seed: int


class SceneMaker:
    """Makes samples of one assembly; the same seed gives the same sequence."""

    def __init__(
        self, assembly: Assembly, names: list[str], settings: SceneSettings, seed: int | tuple[int, ...]
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self.names = names
        self.settings = settings
        self.right = assembly
        self.all = with_wrong_ones(assembly, names, settings.wrong_each, self.rng)
        self.renderer = GeometryRenderer(self.all)
        self._wrong_names = [n for n in self.all.names if SEPARATOR in n]
        self.camera = CameraModel.pinhole(1600, 1200, 4000.0)

    def views(self, count: int) -> list[Sample]:
        """`count` views of one component of the next part; the classes come equally often.

        Light, surfaces, seat, neighbours, what stands in the way, exposure and the pose's error are the part's: its
        views err together, as a cell's do.
        """
        label = int(self.rng.integers(3))
        while True:
            part = self._part(label)
            views: list[Sample] = []
            for _ in range(TRIES * count):
                view = self._view(part)
                views += [view] if view else []
                if len(views) == count:
                    return views

    def _part(self, label: int) -> _Part:
        rng = self.rng
        name = self.names[rng.integers(len(self.names))]
        wide = 2.5 if rng.random() < 0.2 else 1.0
        error = rng.normal(size=6) * wide * ([self.settings.pose_m] * 3 + [self.settings.pose_rad] * 3)
        occluders = self._occluders()
        known = occluders if rng.random() < 0.7 else []
        wrong = f"{name}{SEPARATOR}{rng.integers(self.settings.wrong_each)}"
        hidden = [n for n in self._wrong_names if n != wrong or label != WRONG]
        if label != PRESENT:
            hidden.append(name)
        # Neighbours may be missing too: the answer is about this component only.
        hidden += [n for n in self.names if n != name and rng.random() < 0.06]
        moved = {n: self._seat(n) for n in (*self.names, wrong)}
        return _Part(label, name, wrong, error, occluders, known, hidden, moved, int(rng.integers(2**62)))

    def _view(self, part: _Part) -> Sample | None:
        """From a random direction; None where too little is seen of the component, or of what is wrong with it."""
        T_true = self._pose()
        expected = self._expectation(part.component, perturb(T_true, part.error), part.known)
        if expected is None or expected.visible < LEAST_VISIBLE or expected.area_px < LEAST_AREA_PX:
            return None
        if part.label == WRONG and not self._looks_different(part.component, part.wrong, T_true, expected):
            return None
        picture = self._picture(T_true, expected, part)
        return None if picture is None else Sample(picture, expected, part.label, part.component)

    def _pose(self) -> Pose:
        """T_camera_part from above or below, the part somewhere near the middle of the image."""
        rng = self.rng
        tilt, around = np.radians(rng.uniform(*self.settings.off_axis_deg)), rng.uniform(-np.pi, np.pi)
        side = 1.0 if rng.random() < 0.85 else -1.0
        direction = np.array([np.sin(tilt) * np.cos(around), np.sin(tilt) * np.sin(around), side * np.cos(tilt)])
        centre = self.right.centre
        eye = centre + direction * self.right.radius * rng.uniform(*self.settings.distance)
        return inverse(look_at(eye, centre + rng.normal(0, 0.004, 3), rng.normal(size=3)))

    def _seat(self, name: str) -> Pose:
        """How a component happens to sit, as a motion in the part frame about its own middle."""
        rng, base = self.rng, name.split(SEPARATOR)[0]
        component = self.right.components[self.right.index(base)]
        centre = (component.vertices.min(axis=0) + component.vertices.max(axis=0)) / 2
        turn = rng.normal(0, self.settings.seat_rad, 3)
        if base.startswith(self.settings.spinning):
            turn[2] = rng.uniform(-np.pi, np.pi)
        shift = rng.normal(0, self.settings.seat_m, 3)
        return make_pose(rotation_from_vector(turn), centre + shift) @ make_pose(None, -centre)

    def _occluders(self) -> list[Component]:
        """Sometimes a finger-like box beside or before the part."""
        rng = self.rng
        if rng.random() > 0.35:
            return []
        radius = self.right.radius
        box = trimesh.creation.box(radius * rng.uniform((0.2, 0.1, 0.4), (0.7, 0.3, 1.6)))
        place = rng.normal(size=3)
        place *= radius * rng.uniform(0.7, 1.2) / np.linalg.norm(place)
        T = make_pose(rotation_from_vector(rng.uniform(-2, 2, 3)), self.right.centre + place)
        return [Component("occluder", np.asarray(box.vertices, float), np.asarray(box.faces, np.int32)).moved(T)]

    def _expectation(self, name: str, T: Pose, occluders: list[Component]) -> Expectation | None:
        index = self.all.index(name)
        box = square_box(self.all.components[index], T, self.camera)
        if box is None:
            return None
        crop = crop_camera(self.camera, box, SIZE_PX)
        with_it = self.renderer.render(T, crop, self._wrong_names, occluders)
        if not (with_it.ids == index).any():
            return None
        others = [n for n in self.all.names if n != name]
        alone = int(np.count_nonzero(self.renderer.render(T, crop, others).ids == index))
        without = self.renderer.render(T, crop, [*self._wrong_names, name], occluders)
        inside = inside_image(self.camera, box, (SIZE_PX, SIZE_PX))
        return made_of(with_it, without, index, alone, inside, box)

    def _looks_different(self, name: str, wrong: str, T: Pose, expected: Expectation) -> bool:
        """Whether the wrong component can be told from the right one at all from here."""
        crop = crop_camera(self.camera, expected.box, SIZE_PX)
        others = [n for n in self._wrong_names if n != wrong]
        right = self.renderer.render(T, crop, self._wrong_names)
        other = self.renderer.render(T, crop, [*others, name])
        turned = np.einsum("hwc,hwc->hw", right.normals, other.normals) < 0.9
        edge = (right.depth > 0) != (other.depth > 0)
        changed = np.count_nonzero(turned | edge)
        return bool(changed > LEAST_CHANGE * np.count_nonzero(expected.mask))

    def _picture(self, T: Pose, expected: Expectation, part: _Part) -> NDArray[np.float32] | None:
        """(64, 64) grey; None where a component that is there cannot be seen."""
        size = SIZE_PX * SUPERSAMPLE
        crop = crop_camera(self.camera, expected.box, size)
        of_part = np.random.default_rng(part.seed)
        shading = self._shading(of_part, T)
        light, covered = self.renderer.shade(T, crop, shading, part.hidden, part.occluders, part.moved)
        buffers = self.renderer.render(T, crop, part.hidden, part.occluders, part.moved)
        dimming, background = self._dimming(buffers.depth), self._background(size)
        lit = np.where(covered, light * self._print(buffers.ids) * dimming, background)
        sensor = _sensor(of_part)
        picture, noise = sensor.exposed(lit, lit), sensor.noise
        if part.label == PRESENT:
            hidden = [*part.hidden, part.component]
            light, covered = self.renderer.shade(T, crop, shading, hidden, part.occluders, part.moved)
            bare = sensor.exposed(np.where(covered, light * dimming, background), lit)
            if not _is_seen(picture, bare, expected.mask, noise):
                return None
        noisy = picture + self.rng.normal(0, noise, picture.shape)
        return np.rint(np.clip(noisy, 0, 255)).astype(np.float32)

    def _shading(self, rng: np.random.Generator, T: Pose) -> Shading:
        """Lights and materials; the lights are the camera's, as far off as the part is."""
        distance = float(np.linalg.norm(T[:3, 3]))
        lights = []
        for _ in range(rng.integers(1, 6)):
            side = rng.normal(size=3) * distance * rng.uniform(0.1, 1.2)
            lights.append(
                Light(
                    (side[0], side[1], -abs(side[2]) * 0.3 + distance * rng.uniform(-0.1, 0.5)), rng.uniform(0.1, 0.7)
                )
            )
        base = _material(rng)
        materials = {name: _material(rng) if rng.random() < 0.7 else base for name in self.right.names}
        shared = {name: materials[name.split(SEPARATOR)[0]] for name in self.all.names}
        shared["occluder"] = _material(rng)
        sky = rng.normal(size=3) * rng.uniform(0, 0.4)
        return Shading(tuple(lights), rng.uniform(0.05, 0.6), (sky[0], sky[1], sky[2]), shared)

    def _print(self, ids: NDArray[np.int32]) -> NDArray[np.float32]:
        """Sometimes strokes of another tone on one component, as print or wear."""
        rng = self.rng
        factor = np.ones(ids.shape, np.float32)
        if rng.random() < 0.35:
            strokes = np.ones(ids.shape, np.float32)
            for _ in range(rng.integers(2, 14)):
                a, b = rng.integers(0, ids.shape[0], 2), rng.normal(0, ids.shape[0] / 6, 2)
                end = (int(a[0] + b[0]), int(a[1] + b[1]))
                cv2.line(strokes, (int(a[0]), int(a[1])), end, rng.uniform(0.2, 1.8), int(rng.integers(1, 7)))
            chosen = rng.choice(np.unique(ids))
            factor = np.where(ids == chosen, strokes, factor).astype(np.float32)
        return factor

    def _dimming(self, depth: NDArray[np.float32]) -> NDArray[np.float32]:
        """Less light in hollows, and sometimes the edge of a shadow across the picture."""
        rng, n = self.rng, depth.shape[0]
        factor = np.ones(depth.shape, np.float32)
        if rng.random() < 0.6 and (depth > 0).any():
            filled = np.where(depth > 0, depth, depth[depth > 0].max())
            hollow = filled - cv2.GaussianBlur(filled, (0, 0), rng.uniform(3, 10))
            factor -= rng.uniform(0.1, 0.6) * np.clip(hollow / (self.right.radius * 0.05), 0.0, 1.0)
        if rng.random() < 0.3:
            v, u = np.mgrid[:n, :n]
            angle = rng.uniform(0, 2 * np.pi)
            across = (u - rng.uniform(0, n)) * np.cos(angle) + (v - rng.uniform(0, n)) * np.sin(angle)
            factor *= 1.0 - rng.uniform(0.1, 0.6) / (1.0 + np.exp(-across / rng.uniform(0.5, 6.0)))
        return factor

    def _background(self, size: int) -> NDArray[np.float32]:
        rng = self.rng
        cells = int(rng.integers(1, 9))
        coarse = rng.uniform(0, rng.uniform(0.05, 1.0), (cells, cells)).astype(np.float32)
        return np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), np.float32)


@dataclass(frozen=True)
class _Sensor:
    """Blur in pixels, which percentile of the light is how bright, a tone curve, and noise in grey levels."""

    blur: float
    percentile: float
    gain: float
    gamma: float
    noise: float

    def exposed(self, light: NDArray[np.float32], metered: NDArray[np.float32]) -> NDArray[np.float32]:
        """(64, 64) grey of some light (128, 128), exposed for other light; the noise is not in it."""
        small, by = (self._sampled(one) for one in (light, metered))
        level = max(float(np.percentile(by, self.percentile)), 1e-3)
        return np.asarray(np.clip(small / level * self.gain, 0.0, 1.0) ** self.gamma * 255.0, np.float32)

    def _sampled(self, light: NDArray[np.float32]) -> NDArray[np.float32]:
        sharp = cv2.GaussianBlur(light, (0, 0), SUPERSAMPLE * self.blur)
        return np.asarray(cv2.resize(sharp, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA), np.float32)


def _sensor(rng: np.random.Generator) -> _Sensor:
    return _Sensor(
        rng.uniform(0.2, 1.0), rng.uniform(70, 99), rng.uniform(0.25, 1.1), rng.uniform(0.6, 1.3), rng.uniform(0.3, 4.0)
    )


def _is_seen(picture: NDArray[np.float32], bare: NDArray[np.float32], mask: NDArray[np.bool_], noise: float) -> bool:
    """Whether a component can be told from its empty place: a picture with it, one without, and where it is."""
    change = float(np.sqrt(np.mean((picture - bare)[mask] ** 2)))
    return change > max(LEAST_CONTRAST * float(picture.std()), LEAST_OF_NOISE * noise)


def _material(rng: np.random.Generator) -> Material:
    metal = rng.random() < 0.35
    return Material(
        albedo=rng.uniform(0.03, 0.4) if metal else rng.uniform(0.05, 0.9),
        specular=rng.uniform(0.2, 1.2) if metal else rng.uniform(0.0, 0.4),
        shininess=float(np.exp(rng.uniform(np.log(4), np.log(80)))),
        mirror=rng.uniform(0.3, 1.0) if metal else rng.uniform(0.0, 0.15),
        texture=rng.uniform(0, 0.25) if rng.random() < 0.5 else 0.0,
        texture_per_m=float(np.exp(rng.uniform(np.log(300), np.log(6000)))),
    )
