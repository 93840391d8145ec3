"""One training picture: a component at random in the picture, things around and behind it, and a camera's faults.

After the conformity check by augmented autoencoders (Sec. 3 of that paper): visibility sphere, random appearance,
flying distractors, random backgrounds, a class for the background alone; the target picture shows the component alone,
centred, as large as it fits, on black (Sec. 4.4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspection_cell.cad.component import Component
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, inverse, look_at, make_pose, rotation_from_vector
from inspection_cell.training.synth.appearance import (
    LIGHT_BINS,
    LIGHTS,
    LOBES,
    PLAIN,
    TEXTURE_BINS,
    Appearance,
    AppearanceRanges,
    Lighting,
    draw_appearance,
    draw_lighting,
)
from inspection_cell.training.synth.backgrounds import Backgrounds
from inspection_cell.training.synth.camera import CameraRanges, photographed
from inspection_cell.training.synth.render import Placed, SynthRenderer
from inspection_cell.training.synth.views import VIEW_BINS, Viewpoints

FILL = 0.95
"""Of the picture's side, a component's largest extent."""


@dataclass(frozen=True)
class SceneRanges:
    """What a picture is drawn from.

    Attributes:
        fov_deg: the field of view; a wider one shows the component smaller.
        distance_m: radius of the visibility sphere.
        distractors: at most so many other objects around.
        backgrounds: folder of photographs; None for pictures made by code.
    """

    appearance: AppearanceRanges = field(default_factory=AppearanceRanges)
    camera: CameraRanges = field(default_factory=CameraRanges)
    fov_deg: tuple[float, float] = (20.0, 35.0)
    distance_m: float = 0.6
    distractors: int = 4
    backgrounds: Path | None = None


@dataclass(frozen=True)
class Weights:
    """How often each bin comes: (VIEW_BINS,), (LIGHT_BINS,), (TEXTURE_BINS,), each summing to 1."""

    view: NDArray[np.float64]
    light: NDArray[np.float64]
    texture: NDArray[np.float64]


EVEN = Weights(*(np.full(n, 1 / n) for n in (VIEW_BINS, LIGHT_BINS, TEXTURE_BINS)))


@dataclass(frozen=True)
class Example:
    """One training picture.

    Attributes:
        image: (size, size, 3) uint8. target: the component alone, the same size; black for a background.
        label: index of the component; the number of components for a background.
        bins: (3,) viewpoint, light, texture.
    """

    image: NDArray[np.uint8]
    target: NDArray[np.uint8]
    label: int
    bins: NDArray[np.int64]


class PictureMaker:
    """Draws examples. Belongs to the thread that made it.

    Args:
        components: the classes, in this order; viewpoints: of each.
        others: objects that may lie around and are no class.
        size, target_size: of the pictures and their targets, pixels; a target of 0 is not drawn.
    """

    def __init__(
        self,
        components: list[Component],
        others: list[Component],
        viewpoints: list[Viewpoints],
        ranges: SceneRanges,
        size: int,
        target_size: int,
    ) -> None:
        """Raises RenderError, ValueError (backgrounds)."""
        self._components, self._ranges, self._size, self._target = components, ranges, size, target_size
        self._viewpoints = viewpoints
        self._renderer = SynthRenderer([*components, *others], max(size, target_size))
        self._backgrounds = Backgrounds(ranges.backgrounds, seed=0)
        self._white = Appearance((0.75, 0.75, 0.75), 0, 0.1, 8.0, 0.5, 1.0, 1.0, PLAIN, (1.0, 0.0), np.eye(3), 0.0)

    def close(self) -> None:
        """Gives the renderer back."""
        self._renderer.close()

    def example(self, rng: np.random.Generator, label: int, weights: Weights = EVEN) -> Example:
        """One picture of a class."""
        light_bin, texture_bin = (
            int(rng.choice(LIGHT_BINS, p=weights.light)),
            int(rng.choice(TEXTURE_BINS, p=weights.texture)),
        )
        lighting = draw_lighting(rng, light_bin)
        camera, distance = self._camera(rng, label)
        placed, view_bin = [], 0
        if label < len(self._components):
            direction, view_bin = self._viewpoints[label].draw(rng, weights.view)
            pose = _looking(direction, rng.uniform(-math.pi, math.pi), distance)
            placed.append(Placed(label, pose, 1.0, draw_appearance(rng, self._ranges.appearance, texture_bin)))
        placed += self._distractors(rng, camera, distance)
        light, ids = self._renderer.render(camera, placed, lighting)
        behind = self._backgrounds.crop(rng, self._size) * np.float32(rng.uniform(0.3, 1.2))
        image = photographed(rng, np.where(ids[..., None] > 0, light, behind), self._ranges.camera)
        target = np.zeros((self._target, self._target, 3), np.uint8)
        if self._target and label < len(self._components):
            target = self._alone(placed[0])
        return Example(image, target, label, np.array([view_bin, light_bin, texture_bin]))

    def _camera(self, rng: np.random.Generator, label: int) -> tuple[CameraModel, float]:
        """A camera that shows the component somewhere in the picture, and how far from it."""
        radius = float(self._renderer.radii[label]) if label < len(self._components) else 0.05
        distance = max(self._ranges.distance_m, 4 * radius)
        narrow = math.tan(math.radians(self._ranges.fov_deg[0]) / 2)
        share = FILL * narrow / math.tan(math.radians(rng.uniform(*self._ranges.fov_deg)) / 2)
        focal = share * self._size * distance / (2 * radius)
        free = (1 - share) / 2 * self._size
        middle = (self._size - 1) / 2 + rng.uniform(-free, free, 2)
        matrix = np.array([[focal, 0, middle[0]], [0, focal, middle[1]], [0, 0, 1.0]])
        return CameraModel(self._size, self._size, matrix), distance

    def _distractors(self, rng: np.random.Generator, camera: CameraModel, distance: float) -> list[Placed]:
        """Objects of no class, of any size, behind where a component is."""
        first, last = len(self._components), len(self._renderer.radii)
        placed = []
        for _ in range(int(rng.integers(0, self._ranges.distractors + 1)) if last > first else 0):
            mesh = int(rng.integers(first, last))
            depth = distance * rng.uniform(1.2, 1.8)
            wanted_px = self._size * rng.uniform(0.15, 0.7)
            size = wanted_px * depth / camera.matrix[0, 0] / (2 * float(self._renderer.radii[mesh]))
            pixel = rng.uniform(0, self._size, 2)
            place = np.array([*(pixel - camera.matrix[:2, 2]) / camera.matrix[0, 0], 1.0]) * depth
            pose = make_pose(rotation_from_vector(rng.uniform(-math.pi, math.pi, 3)), place)
            texture = int(rng.integers(TEXTURE_BINS))
            placed.append(Placed(mesh, pose, size, draw_appearance(rng, self._ranges.appearance, texture)))
        return placed

    def _alone(self, placed: Placed) -> NDArray[np.uint8]:
        """The component of a picture centred on black, as large as it fits, white under one light beside the camera."""
        size, pose = self._target, placed.T_camera_object
        distance, radius = float(pose[2, 3]), float(self._renderer.radii[placed.mesh])
        camera = CameraModel.pinhole(size, size, FILL * size * distance / (2 * radius))
        alone = Placed(placed.mesh, pose, 1.0, self._white)
        light, _ = self._renderer.render(camera, [alone], HEADLIGHT)
        return np.asarray(np.clip(light, 0, 1) * 255, np.uint8)


HEADLIGHT = Lighting(
    directions=np.tile([0.2, -0.2, -0.96], (LIGHTS, 1)),
    colours=np.eye(LIGHTS, 3)[:, :1] * np.array([0.9, 0.9, 0.9]),
    lobes=np.tile([0.0, 0.0, -1.0], (LOBES, 1)),
    lobe_colours=np.zeros((LOBES, 3)),
    sharpness=np.ones(LOBES),
    ambient=np.full(3, 0.15),
    tilt=np.zeros(3),
)


def _looking(direction: NDArray[np.float64], roll: float, distance: float) -> Pose:
    """T_camera_object of an object about its own middle, seen from a direction of its frame."""
    turned = make_pose(rotation_from_vector((0.0, 0.0, roll)))
    return np.asarray(turned @ inverse(look_at(direction * distance, np.zeros(3))))
