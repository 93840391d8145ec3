"""The training renderer against the shading models written out in numpy, and against the geometry renderer."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import trimesh

from inspection_cell.cad.assembly import Assembly, load_assembly
from inspection_cell.cad.component import Component
from inspection_cell.cad.render import GeometryRenderer
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import inverse, look_at, make_pose, rotation_from_vector
from inspection_cell.recipe.paths import share_folder
from inspection_cell.training.synth.appearance import (
    COOK_TORRANCE,
    LIGHTS,
    LOBES,
    PHONG,
    PLAIN,
    SIMPLEX,
    SPECKLED,
    Appearance,
    Lighting,
)
from inspection_cell.training.synth.render import Placed, SynthRenderer

HOUSING = share_folder() / "models" / "parts" / "ring_housing" / "ring_housing.step"
DARK = Lighting(
    directions=np.tile([0.0, 0.0, -1.0], (LIGHTS, 1)),
    colours=np.zeros((LIGHTS, 3)),
    lobes=np.tile([0.0, 0.0, -1.0], (LOBES, 1)),
    lobe_colours=np.zeros((LOBES, 3)),
    sharpness=np.full(LOBES, 20.0),
    ambient=np.zeros(3),
    tilt=np.zeros(3),
)
GREY = Appearance((0.6, 0.5, 0.4), PHONG, 0.7, 9.0, 0.4, 1.3, 4.0, PLAIN, (5.0, 0.0), np.eye(3), 0.5)


def plate() -> Component:
    mesh = trimesh.creation.box((0.2, 0.2, 0.02))
    return Component("plate", np.asarray(mesh.vertices, float), np.asarray(mesh.faces, np.int32))


def middle_of_plate(appearance: Appearance, lighting: Lighting, tilt: float = 0.0) -> np.ndarray:
    """Its light at the picture's middle, the plate turned by `tilt` about x."""
    camera = CameraModel.pinhole(65, 65, 200.0)
    pose = make_pose(rotation_from_vector((tilt, 0, 0)), (0, 0, 0.6))
    with SynthRenderer([plate()], 65) as renderer:
        light, ids = renderer.render(camera, [Placed(0, pose, 1.0, appearance)], lighting)
    assert ids[32, 32] == 1
    return light[32, 32]


def fresnel(cosine: float, index: complex) -> float:
    """Unpolarised reflectance from the complex amplitudes (M. Born and E. Wolf, "Principles of Optics", Sec. 1.5)."""
    inside = np.sqrt(1 - (math.sin(math.acos(cosine)) / index) ** 2 + 0j)
    across = (cosine - index * inside) / (cosine + index * inside)
    along = (index * cosine - inside) / (index * cosine + inside)
    return float((abs(across) ** 2 + abs(along) ** 2) / 2)


@pytest.mark.parametrize("angle", [0.1, 0.6, 1.2])
@pytest.mark.parametrize("tilt", [0.0, 0.5])
@pytest.mark.parametrize("model", [PHONG, COOK_TORRANCE])
def test_one_lamp_shades_as_the_papers_say(model: int, tilt: float, angle: float) -> None:
    towards = np.array([0.0, math.sin(angle), -math.cos(angle)])
    colours = np.zeros((LIGHTS, 3))
    colours[0] = 0.8
    lighting = replace(DARK, directions=np.tile(towards, (LIGHTS, 1)), colours=colours)
    seen = middle_of_plate(replace(GREY, model=model), lighting, tilt)
    normal = rotation_from_vector((tilt, 0, 0)) @ np.array([0.0, 0.0, -1.0])
    view = np.array([0.0, 0.0, -1.0])
    nl, nv = float(normal @ towards), float(normal @ view)
    if nl <= 0:
        expected = np.zeros(3)
    elif model == PHONG:
        mirrored = 2 * nv * normal - view
        expected = 0.8 * (nl * np.array(GREY.colour) + 0.7 * max(float(mirrored @ towards), 0.0) ** 9)
    else:
        half = (towards + view) / np.linalg.norm(towards + view)
        nh, vh, m = float(normal @ half), float(view @ half), GREY.roughness
        slope = math.tan(math.acos(min(nh, 1.0)))
        facets = math.exp(-((slope / m) ** 2)) / (m**2 * nh**4)
        kept = min(1.0, 2 * nh * nv / vh, 2 * nh * nl / vh)
        shine = fresnel(vh, complex(GREY.n, GREY.k)) * facets * kept / (4 * nv)
        expected = 0.8 * (0.3 * nl * np.array(GREY.colour) + 0.7 * shine)
    np.testing.assert_allclose(seen, expected, rtol=0.01, atol=2e-3)


def test_metals_mirror_bright_surroundings_and_plates_turned_away_do_not() -> None:
    colours = np.zeros((LOBES, 3))
    colours[0] = 1.0
    lighting = replace(DARK, lobe_colours=colours)
    shiny = replace(GREY, model=COOK_TORRANCE, roughness=0.2)
    assert middle_of_plate(shiny, lighting)[0] > 2 * middle_of_plate(shiny, lighting, 0.5)[0]


@pytest.mark.parametrize("texture", [SIMPLEX, SPECKLED])
def test_textures_vary_around_the_plain_colour(texture: int) -> None:
    camera = CameraModel.pinhole(128, 128, 400.0)
    lighting = replace(DARK, ambient=np.ones(3))
    patterned = replace(GREY, texture=texture, grain=(12.0, 0.0), specular=0.0)
    with SynthRenderer([plate()], 128) as renderer:
        light, ids = renderer.render(camera, [Placed(0, make_pose(None, (0, 0, 0.6)), 1.0, patterned)], lighting)
    tones = light[ids == 1][:, 0]
    assert tones.std() > 0.05
    assert tones.mean() == pytest.approx(GREY.colour[0], abs=0.05)


def test_a_simplified_mesh_covers_the_same_pixels_as_the_whole_one() -> None:
    whole = load_assembly(HOUSING)
    component = whole.components[whole.index("housing")]
    alone = Assembly((component,), whole.sha256, whole.source)
    camera = CameraModel.pinhole(256, 256, 900.0)
    with SynthRenderer([component], 256) as renderer, GeometryRenderer(alone) as oracle:
        pose = inverse(look_at(renderer.centres[0] + (0.2, 0.15, 0.5), renderer.centres[0]))
        about_middle = pose @ make_pose(None, renderer.centres[0])
        _, ids = renderer.render(camera, [Placed(0, about_middle, 1.0, GREY)], DARK)
        expected = oracle.render(pose, camera).ids >= 0
    drawn = ids > 0
    assert (drawn & expected).sum() / (drawn | expected).sum() > 0.99


def test_the_nearer_object_hides_the_farther_one() -> None:
    camera = CameraModel.pinhole(64, 64, 200.0)
    near, far = (Placed(0, make_pose(None, (0, 0, z)), 1.0, GREY) for z in (0.6, 0.9))
    with SynthRenderer([plate()], 64) as renderer:
        assert renderer.render(camera, [far, near], DARK)[1][32, 32] == 2
        assert renderer.render(camera, [near, far], DARK)[1][32, 32] == 1
        with pytest.raises(ValueError, match="9 objects"):
            renderer.render(camera, [near] * 9, DARK)
