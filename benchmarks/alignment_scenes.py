"""Pictures of the alignment benchmarks, made by ray casting, whose truth is known: `make_scene` and `make_pair`."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache as remembered
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from alignment_looks import hard_lighting, soft_lighting
from alignment_part import assembly as benchmark_assembly
from alignment_raycast import Lighting, Rendering, Stage
from alignment_sensor import DEPTH_STEP_M, Sensor, exposed, measured_depth
from alignment_staging import (
    ABSENT,
    HEIGHT,
    LENS_AND_SENSOR,
    PRESENT,
    WIDTH,
    cut_by_border,
    direction,
    real_part,
    shadow_caster,
    some_camera,
    surroundings_of,
    viewpoint,
    visible_fraction,
)
from numpy.typing import NDArray

from inspection_cell.cad.assembly import Assembly
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, inverse, make_pose, perturb, rotation_from_vector

KINDS = (*PRESENT, *LENS_AND_SENSOR, *ABSENT)
PRIOR = (0.020, math.radians(5.0))
MODULES = ("scenes", "staging", "part", "solids", "looks", "clutter", "raycast", "sensor")


@dataclass(frozen=True)
class Scene:
    """One view with all that is true of it.

    Attributes:
        image: (h, w) uint8, or (h, w, 3) uint8 RGB for "colour".
        depth: (h, w) float32, metres along the optical axis as a depth camera measures them, 0 where it does not.
        camera: what the aligner is told; the picture was taken with it, except in a pair with a focal error.
        T_camera_part: the truth; where the part is not in the picture, the pose that the prior is about.
        T_prior, prior_bound: the prior, and how far it may be off: metres, radians, about the part's centre.
        missing: components that are not in the picture.
        moved: how components were displaced: a point p of the CAD is at T p, in the part frame.
        part_present: whether the assembly is in the picture at all.
        visible: fraction of the part's projected area that is in the image and not hidden; 0 where it is absent.
    """

    name: str
    kind: str
    image: NDArray[np.uint8]
    depth: NDArray[np.float32]
    camera: CameraModel
    T_camera_part: Pose
    T_prior: Pose
    prior_bound: tuple[float, float]
    missing: tuple[str, ...]
    moved: dict[str, Pose]
    part_present: bool
    visible: float


@dataclass(frozen=True)
class Pair:
    """Views of one part that stands still, from robot poses.

    Attributes:
        scenes: the views; `T_camera_part` is the truth of the true camera, `T_prior` follows from the told poses.
        T_world_cameras: the cameras' poses as told.
        T_world_part: the truth; `T_world_part_prior` the prior that all scenes share.
    """

    scenes: tuple[Scene, ...]
    T_world_cameras: tuple[Pose, ...]
    T_world_part: Pose
    T_world_part_prior: Pose


@dataclass(frozen=True)
class _Picture:
    """What is rendered and kept: everything but the prior."""

    image: NDArray[np.uint8]
    depth: NDArray[np.float32]
    camera: CameraModel
    T_camera_part: Pose
    missing: tuple[str, ...]
    moved: dict[str, Pose]
    present: bool
    visible: float


def make_scene(
    kind: str,
    seed: int,
    assembly: Assembly,
    prior: tuple[float, float] = PRIOR,
    exact: bool = False,
    cache: Path | None = None,
    foreign: Sequence[Assembly] = (),
) -> Scene:
    """A view of the assembly; the same arguments give the same view.

    Args:
        kind: one of KINDS, or several joined by "+", as in "clutter+dark" or "wrong part+blur".
        prior: the bound of the prior, metres and radians; it is drawn evenly in the ball of each.
        exact: the prior lies exactly on both bounds.
        cache: folder in which rendered pictures are kept; the prior is not part of them.
        foreign: more assemblies that may be in the picture of a "wrong part", beside the two made by code.

    Raises:
        ValueError: the kind is unknown, or the assembly has no component small enough for it.
    """
    picture = _pictures(kind, seed, assembly, 1, cache, foreign)[0]
    rng = _random("prior", kind, seed)
    off = _about_centre(rng, assembly.centre, prior, exact)
    return _scene(f"{kind} {seed}", kind, picture, picture.camera, picture.T_camera_part @ off, prior)


def make_pair(
    seed: int,
    assembly: Assembly,
    kind: str = "nominal",
    views: int = 2,
    prior: tuple[float, float] = PRIOR,
    exact: bool = False,
    focal_error: float = 0.0,
    hand_eye_error: tuple[float, float] = (0.0, 0.0),
    cache: Path | None = None,
) -> Pair:
    """Views of one part from 20 to 70 degrees apart; the camera is in hand, the light stands still.

    Args:
        kind: as for `make_scene`.
        focal_error: fraction by which the told focal length is too long.
        hand_eye_error: metres and radians by which the told pose of the camera on the flange is off, in each view.
    """
    pictures = _pictures(kind, seed, assembly, views, cache, ())
    rng = _random("pair", kind, seed)
    T_world_part = make_pose(rotation_from_vector(rng.normal(0, 0.8, 3)), rng.uniform(-0.5, 0.5, 3) + (0.6, 0.0, 0.4))
    wrong_hand_eye = np.concatenate([hand_eye_error[0] * direction(rng), hand_eye_error[1] * direction(rng)])
    T_world_part_prior = T_world_part @ _about_centre(rng, assembly.centre, prior, exact)
    told, scenes = [], []
    for number, picture in enumerate(pictures):
        T_world_camera = perturb(T_world_part @ inverse(picture.T_camera_part), wrong_hand_eye)
        matrix = picture.camera.matrix.copy()
        matrix[[0, 1], [0, 1]] *= 1.0 + focal_error
        camera = replace(picture.camera, matrix=matrix)
        T_prior = inverse(T_world_camera) @ T_world_part_prior
        told.append(T_world_camera)
        scenes.append(_scene(f"pair {kind} {seed}.{number}", kind, picture, camera, T_prior, prior))
    return Pair(tuple(scenes), tuple(told), T_world_part, T_world_part_prior)


def _scene(
    name: str, kind: str, picture: _Picture, camera: CameraModel, T_prior: Pose, bound: tuple[float, float]
) -> Scene:
    return Scene(
        name=name,
        kind=kind,
        image=picture.image,
        depth=picture.depth,
        camera=camera,
        T_camera_part=picture.T_camera_part,
        T_prior=T_prior,
        prior_bound=bound,
        missing=picture.missing,
        moved=picture.moved,
        part_present=picture.present,
        visible=picture.visible,
    )


# ---- the pictures


def _pictures(
    kind: str, seed: int, assembly: Assembly, views: int, cache: Path | None, foreign: Sequence[Assembly]
) -> list[_Picture]:
    traits = frozenset(kind.split("+"))
    unknown = sorted(traits - set(KINDS))
    if unknown:
        raise ValueError(f"kind {kind!r}: {', '.join(unknown)} is unknown; join some of {', '.join(KINDS)} by '+'")
    if cache is None:
        return _taken(traits, kind, seed, assembly, views, foreign)
    others = [a.sha256 for a in foreign] if "wrong part" in traits else []
    key = json.dumps([kind, seed, assembly.sha256, views, others, _code()])
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    path = cache / f"{kind.replace(' ', '_')}-{seed}-{digest}.npz"
    if not path.is_file():
        _store(path, _taken(traits, kind, seed, assembly, views, foreign))
    # Read back even when just made, so that a picture never depends on whether it was kept.
    return _loaded(path)


def _taken(
    traits: frozenset[str], kind: str, seed: int, assembly: Assembly, views: int, foreign: Sequence[Assembly]
) -> list[_Picture]:
    rng = _random("picture", kind, seed)
    camera = some_camera(rng, "distorted" in traits)
    first = viewpoint(rng, assembly, camera)
    if "partial" in traits:
        first = cut_by_border(rng, assembly, camera, first)
    real, missing, moved, present = real_part(rng, traits, assembly, foreign, camera, first)
    others = surroundings_of(rng, traits, assembly, real, camera, first)
    lighting = _lighting(rng, traits, assembly, first)
    if "shadow" in traits:
        others += shadow_caster(rng, assembly, lighting, camera, first)
    stage = Stage([*real, *others], lighting)
    poses = [first]
    while len(poses) < views:
        pose = viewpoint(rng, assembly, camera)
        apart = [math.degrees(math.acos(np.clip(pose[:3, 2] @ other[:3, 2], -1, 1))) for other in poses]
        if all(20 < angle < 70 for angle in apart):
            poses.append(pose)
    gain = None
    pictures = []
    for T_part_camera in poses:
        rendering = stage.render(camera, T_part_camera, rng, "colour" in traits)
        # Exposed for the first view, as a camera with fixed settings is.
        gain = gain or _gain(rng, traits, rendering, len(real))
        image = exposed(rendering.light, _sensor(rng, traits, gain), rng)
        depth = measured_depth(rendering, rng)
        if "blank" in traits:
            image, depth = _blank(rng, image, depth, rendering)
        pictures.append(
            _Picture(
                image=image,
                depth=depth,
                camera=camera,
                T_camera_part=inverse(T_part_camera),
                missing=missing,
                moved=moved,
                present=present,
                visible=visible_fraction(real, others, camera, T_part_camera) if present else 0.0,
            )
        )
    return pictures


def _lighting(rng: np.random.Generator, traits: frozenset[str], assembly: Assembly, T_part_camera: Pose) -> Lighting:
    reach = 5.0 * assembly.radius
    if "shadow" in traits:
        return hard_lighting(rng, reach)
    return soft_lighting(rng, T_part_camera[:3, 3] / np.linalg.norm(T_part_camera[:3, 3]), reach)


def _gain(rng: np.random.Generator, traits: frozenset[str], rendering: Rendering, parts: int) -> float:
    """Grey levels per light: exposed for the part, or for the whole picture where there is none."""
    grey = rendering.light.mean(axis=2)
    if "dark" in traits:
        mean = float(np.minimum(grey, np.quantile(grey, 0.995)).mean())
        return float(rng.uniform(9, 24)) / mean
    part = (rendering.body >= 0) & (rendering.body < parts)
    of = grey[part] if part.sum() > 1000 else grey.ravel()
    # What is dark shall be seen too, even where bright metal saturates.
    bright, typical = np.quantile(of, (0.94, 0.5))
    gain = max(float(rng.uniform(170, 250)) / float(bright), float(rng.uniform(35, 60)) / float(typical))
    return min(gain, 235.0 / float(np.quantile(grey, 0.7)))


def _sensor(rng: np.random.Generator, traits: frozenset[str], gain: float) -> Sensor:
    sensor = Sensor(
        gain=gain,
        full_well=float(rng.uniform(6000, 14000)),
        read_noise=float(rng.uniform(0.3, 0.8)),
        softness_px=float(rng.uniform(0.45, 0.75)),
        vignetting=float(rng.uniform(0.02, 0.25)),
    )
    if "dark" in traits:
        sensor = replace(sensor, full_well=float(rng.uniform(1500, 8000)), read_noise=float(rng.uniform(0.5, 1.6)))
    if "noise" in traits:
        grain = float(rng.uniform(6, 14)) if "dark" not in traits else float(rng.uniform(2, 4))
        sensor = replace(sensor, full_well=float(rng.uniform(400, 1500)), read_noise=grain)
    if "blur" in traits:
        sigma = float(rng.uniform(1.0, 5.0))
        if rng.random() < 0.5:
            return replace(sensor, defocus_px=sigma)
        turn, path = rng.uniform(0, 2 * math.pi), sigma * math.sqrt(12.0)
        return replace(sensor, motion_px=(path * math.cos(turn), path * math.sin(turn)))
    return sensor


def _blank(
    rng: np.random.Generator, image: NDArray[np.uint8], depth: NDArray[np.float32], rendering: Rendering
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A picture without content: covered, saturated, evenly grey, or hopelessly overexposed."""
    kind = rng.integers(4)
    if kind == 3:
        light = rendering.light / np.quantile(rendering.light, 0.03)
        return exposed(light, Sensor(260.0), rng), depth
    level = (0.0, 400.0, float(rng.uniform(20, 230)))[kind]
    flat = np.full(rendering.light.shape, level, np.float32)
    return exposed(flat, Sensor(1.0, vignetting=float(rng.uniform(0.0, 0.3))), rng), np.zeros_like(depth)


# ---- random numbers


def _random(*what: str | int) -> np.random.Generator:
    return np.random.default_rng([zlib.crc32(str(w).encode()) for w in what])


def _about_centre(
    rng: np.random.Generator, centre: NDArray[np.float64], bound: tuple[float, float], exact: bool
) -> Pose:
    """A motion whose rotation acts about the centre; both parts evenly in their balls, or on them."""
    shares = (1.0, 1.0) if exact else tuple(rng.random(2) ** (1 / 3))
    shift, turn = (b * s * direction(rng) for b, s in zip(bound, shares, strict=True))
    rotation = rotation_from_vector(turn)
    return make_pose(rotation, centre + shift - rotation @ centre)


# ---- the kept pictures


@remembered
def _code() -> str:
    """What the pictures depend on beside their arguments: the text of the modules that make them."""
    digest = hashlib.sha256()
    for name in MODULES:
        digest.update(Path(__file__).with_name(f"alignment_{name}.py").read_bytes())
    return digest.hexdigest()


def _store(path: Path, pictures: Sequence[_Picture]) -> None:
    arrays: dict[str, Any] = {}
    for k, p in enumerate(pictures):
        facts = {
            "camera": [p.camera.width, p.camera.height, p.camera.matrix.tolist(), p.camera.distortion.tolist()],
            "T_camera_part": p.T_camera_part.tolist(),
            "missing": p.missing,
            "moved": {name: pose.tolist() for name, pose in p.moved.items()},
            "present": p.present,
            "visible": p.visible,
        }
        steps = np.rint(p.depth / DEPTH_STEP_M).astype(np.uint16)
        arrays[f"facts{k}"] = json.dumps(facts)
        arrays[f"image{k}"] = cv2.imencode(".png", p.image)[1]
        arrays[f"depth{k}"] = cv2.imencode(".png", steps)[1]
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    np.savez(temporary, **arrays)
    temporary.replace(path)


def _loaded(path: Path) -> list[_Picture]:
    pictures = []
    with np.load(path) as store:
        for k in range(len(store.files) // 3):
            facts = json.loads(str(store[f"facts{k}"]))
            width, height, matrix, distortion = facts["camera"]
            steps = cv2.imdecode(store[f"depth{k}"], cv2.IMREAD_UNCHANGED)
            pictures.append(
                _Picture(
                    image=np.asarray(cv2.imdecode(store[f"image{k}"], cv2.IMREAD_UNCHANGED), np.uint8),
                    depth=(steps * DEPTH_STEP_M).astype(np.float32),
                    camera=CameraModel(width, height, np.array(matrix), np.array(distortion)),
                    T_camera_part=np.array(facts["T_camera_part"]),
                    missing=tuple(facts["missing"]),
                    moved={name: np.array(pose) for name, pose in facts["moved"].items()},
                    present=facts["present"],
                    visible=facts["visible"],
                )
            )
    return pictures


def _contact_sheet(seed: int, cache: Path | None, columns: int = 4, width: int = 640) -> NDArray[np.uint8]:
    """(h, w, 3) BGR: a picture of each kind, and the first one's depth."""
    tiles = []
    for kind in (*KINDS, "clutter+dark", "no part+noise"):
        scene = make_scene(kind, seed, benchmark_assembly(), cache=cache)
        image = cv2.cvtColor(scene.image, cv2.COLOR_GRAY2BGR if scene.image.ndim == 2 else cv2.COLOR_RGB2BGR)
        tiles.append((f"{scene.name}  visible {scene.visible:.2f}", image))
        if kind == "nominal":
            near = scene.depth[scene.depth > 0].min()
            shown = np.where(scene.depth > 0, np.clip(255 - (scene.depth - near) * 500, 30, 255), 0).astype(np.uint8)
            tiles.append((f"{scene.name}  depth", cv2.applyColorMap(shown, cv2.COLORMAP_VIRIDIS)))
    size = (width, width * HEIGHT // WIDTH)
    sheet_rows = []
    for k in range(0, len(tiles), columns):
        row = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for _, image in tiles[k : k + columns]]
        for image, (text, _) in zip(row, tiles[k : k + columns], strict=True):
            cv2.rectangle(image, (0, 0), (8 * len(text) + 12, 18), (0, 0, 0), -1)
            cv2.putText(image, text, (5, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1, cv2.LINE_AA)
        row += [np.zeros_like(row[0])] * (columns - len(row))
        sheet_rows.append(np.hstack(row))
    return np.vstack(sheet_rows)


def main() -> None:
    """Writes a contact sheet of all kinds."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--out", type=Path, required=True, help="PNG to write")
    given.add_argument("--seed", type=int, default=0)
    given.add_argument("--cache", type=Path, help="folder in which rendered pictures are kept")
    arguments = given.parse_args()
    cv2.imwrite(str(arguments.out), _contact_sheet(arguments.seed, arguments.cache))


if __name__ == "__main__":
    main()
