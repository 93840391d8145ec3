"""Recipes come back from YAML as they were; the hash follows the content, not the layout; the plan the recipe."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inspection_cell.core.plan import CameraRole, CheckKind, InspectionPlan, Mode
from inspection_cell.recipe.loading import ConfigError, validate
from inspection_cell.recipe.make_plan import make_plan
from inspection_cell.recipe.paths import share_folder
from inspection_cell.recipe.recipe import Recipe, load_recipe

NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,12}", fullmatch=True)
METRES = st.floats(-2, 2, allow_nan=False)
POSITIVE = st.floats(1e-4, 100, allow_nan=False)
INSPECTION_NAMES = NAMES.filter(lambda name: name not in ("wide", "wide_b"))
WIDE = st.sampled_from([["wide"], ["wide", "wide_b"], ["wide_b", "wide"]])
HASHES = st.text("0123456789abcdef", min_size=64, max_size=64)


@st.composite
def poses(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "xyz_m": [draw(METRES) for _ in range(3)],
        "rpy_deg": [draw(st.floats(-180, 180)) for _ in range(3)],
    }


@st.composite
def recipes(draw: st.DrawFn) -> dict[str, Any]:
    """The content of a valid recipe file: any mixture of checks, grasps and views."""
    grasps = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    inspection = draw(
        st.lists(NAMES, min_size=1, max_size=4, unique=True).filter(lambda n: not {"wide", "wide_b"} & set(n))
    )
    content: dict[str, Any] = {
        "format": 1,
        "name": draw(NAMES),
        "description": draw(st.text(st.characters(exclude_categories=("C", "Z")), max_size=20)),
        "mounting": "part_in_hand",
        "part": {"cad": "part.step", "envelope": {"radius_m": draw(POSITIVE), "height_m": draw(POSITIVE)}},
        "grasps": [{"name": g, "width_m": draw(st.floats(1e-3, 0.1)), "T_tool_part": draw(poses())} for g in grasps],
        "viewpoints": [
            {"name": "wide", "camera": "wide", "T_part_camera": draw(poses())},
            {"name": "wide_b", "camera": "wide", "T_part_camera": draw(poses())},
            *({"name": v, "T_part_camera": draw(poses())} for v in inspection),
        ],
        "views": {
            g: [*draw(WIDE), *draw(st.lists(st.sampled_from(inspection), unique=True, min_size=1))] for g in grasps
        },
        "imaging": {"wide": {"exposure_s": 0.01}, "inspection": {"exposure_s": draw(st.floats(1e-4, 1))}},
    }
    if draw(st.booleans()):
        content["alignment"] = {"prior_m": draw(st.floats(1e-4, 0.1)), "prior_deg": draw(st.floats(0.1, 30))}
        if draw(st.booleans()):
            components = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
            content["presence"] = {"model": "models/x", "components": [{"name": c} for c in components]}
            if draw(st.booleans()):
                content["presence"]["model_hash"] = draw(HASHES)
        if draw(st.booleans()):
            content["anomaly"] = {"size": draw(st.sampled_from([128, 256, 512, 1024]))}
            if draw(st.booleans()):
                views = [f"{g}/{v}" for g in grasps for v in content["views"][g] if v not in ("wide", "wide_b")]
                limits = sorted(draw(POSITIVE) for _ in range(3))
                content["anomaly"]["models"] = {v: draw(HASHES) for v in views}
                content["anomaly"]["limits"] = dict(zip(("uncertain", "defect", "critical"), limits, strict=True))
    if draw(st.booleans()):
        return content | on_the_arm(content, draw(poses()))
    if draw(st.booleans()):
        low, high = sorted((draw(POSITIVE), draw(POSITIVE)))
        content["weight"] = {"nominal_g": draw(POSITIVE), "uncertain_g": low, "defect_g": high}
    return content


def on_the_arm(content: dict[str, Any], pose: dict[str, Any]) -> dict[str, Any]:
    """What changes where the arm carries the camera: the first grasp becomes the fixture."""
    held = content["grasps"][0]["name"]
    fixture = {"name": held, "T_world_part": pose}
    changes = {"mounting": "camera_in_hand", "grasps": [], "fixture": fixture, "views": {held: content["views"][held]}}
    if models := content.get("anomaly", {}).get("models"):
        of_fixture = {view: sha for view, sha in models.items() if view.startswith(f"{held}/")}
        changes["anomaly"] = content["anomaly"] | {"models": of_fixture}
    return changes


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(content=recipes(), style=st.sampled_from([True, False, None]), indent=st.integers(2, 6))
def test_a_recipe_comes_back_from_its_file_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, Any], style: bool | None, indent: int
) -> None:
    recipe = validate(content, Recipe, "made")
    folder = tmp_path_factory.mktemp("recipe")
    path = folder / f"{recipe.name}.yaml"
    whole = recipe.model_dump(mode="json")
    # Another layout of the same content: order, style, comments, and every default written out.
    shuffled = dict(reversed(whole.items()))
    text = yaml.safe_dump(shuffled, default_flow_style=style, indent=indent, sort_keys=False, allow_unicode=True)
    path.write_text("# a comment\n" + text, encoding="utf-8")
    again = load_recipe(path)
    assert again == recipe
    assert again.hash == recipe.hash == validate(json.loads(recipe.model_dump_json()), Recipe, "again").hash


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(content=recipes(), mode=st.sampled_from(list(Mode)))
def test_the_plan_expects_everything_the_recipe_asks_for(content: dict[str, Any], mode: Mode) -> None:
    recipe = validate(content, Recipe, "made")
    plan = plan_of(recipe, mode)
    ids = [c.check_id for c in plan.checks]
    views = {v.view_id: v for v in plan.views}
    assert len(set(ids)) == len(ids)
    assert len(views) == len(plan.views) == sum(len(names) for names in recipe.views.values())
    assert all(c.view_id in views for c in plan.checks if c.kind is not CheckKind.WEIGHT)
    of = {kind: [c for c in plan.checks if c.kind is kind] for kind in CheckKind}
    inspection = [v for v in plan.views if v.role is CameraRole.INSPECTION]
    judged = mode is not Mode.TEACH
    assert {c.view_id for c in of[CheckKind.RECORD]} == set(views)
    assert len(of[CheckKind.WEIGHT]) == (recipe.weight is not None)
    # Each grasp by its wide views, on the last of them, and each inspection view itself.
    aligned = len(recipe.priors) + len(inspection) if recipe.alignment else 0
    assert len({c.view_id for c in of[CheckKind.ALIGNMENT]}) == len(of[CheckKind.ALIGNMENT]) == aligned
    last = {f"{held}/{[n for n in recipe.views[held] if n in ('wide', 'wide_b')][-1]}" for held in recipe.priors}
    assert not recipe.alignment or last <= {c.view_id for c in of[CheckKind.ALIGNMENT]}
    components = len(recipe.presence.components) if recipe.presence else 0
    assert len(of[CheckKind.PRESENCE]) == (components * len(inspection) if judged else 0)
    fitted = recipe.anomaly is not None and recipe.anomaly.limits is not None
    assert [c.view_id for c in of[CheckKind.ANOMALY]] == ([v.view_id for v in inspection] if judged and fitted else [])
    assert all(c.needs_alignment for kind in (CheckKind.PRESENCE, CheckKind.ANOMALY) for c in of[kind])
    if fitted and judged:
        assert {c.view_id: c.model_hash for c in of[CheckKind.ANOMALY]} == recipe.anomaly.models
    assert (plan.recipe, plan.recipe_hash, plan.mode) == (recipe.name, recipe.hash, mode)
    assert set(plan.rule.presence_min_judged) == {c.component for c in of[CheckKind.PRESENCE]}


def plan_of(recipe: Recipe, mode: Mode) -> InspectionPlan:
    return make_plan(recipe, "20260101-000000-00000000", "r1", "4711", mode, True, 1)


SHIPPED = sorted((share_folder() / "config" / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_every_change_of_a_shipped_recipe_changes_its_hash(path: Path) -> None:
    recipe = load_recipe(path)
    content = recipe.model_dump(mode="json")
    hashes = {recipe.hash}
    changes = 0
    for change in changed(content):
        try:
            hashes.add(validate(change, Recipe, "changed").hash)
        except ConfigError:
            continue
        changes += 1
    assert changes > 30
    assert len(hashes) == changes + 1


def changed(content: Any) -> Any:
    """The content with one number changed by a little, for every number in it."""
    for where in numbers(content, ()):
        copied = copy.deepcopy(content)
        inner = copied
        for key in where[:-1]:
            inner = inner[key]
        value = inner[where[-1]]
        inner[where[-1]] = value + 1 if isinstance(value, int) else value * 1.001 + 1e-6
        yield copied


def numbers(content: Any, where: tuple[Any, ...]) -> Any:
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            yield (*where, key)
        else:
            yield from numbers(value, (*where, key))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_shipped_recipes_have_their_checks(path: Path) -> None:
    recipe = load_recipe(path)
    kinds = {c.kind for c in plan_of(recipe, Mode.TEACH).checks}
    weighed = {CheckKind.WEIGHT} if recipe.mounting == "part_in_hand" else set()
    assert kinds == {CheckKind.RECORD, CheckKind.ALIGNMENT, *weighed}, "teaching needs no models"
    assert not recipe.commissioned, "models are fitted in the cell, not shipped"
    kinds = {c.kind for c in plan_of(recipe, Mode.SIMULATION).checks}
    assert CheckKind.PRESENCE in kinds and CheckKind.ANOMALY not in kinds
