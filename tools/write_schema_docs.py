"""Writes the tables of fields in docs/: recipe, cell configuration, scene. Run after changing a configuration model.

The tables stand between `<!-- fields: NAME -->` and `<!-- end of fields -->`; the text around them is written by hand.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from inspection_cell.devices.light.config import SimulatedLightConfig
from inspection_cell.motion.config import SceneConfig
from inspection_cell.recipe.cell_config import CellConfig
from inspection_cell.recipe.recipe import Recipe

DOCS = Path(__file__).parents[1] / "docs"
# name of the block: the model, the page it stands in
BLOCKS: dict[str, tuple[type[BaseModel], str]] = {
    "recipe": (Recipe, "engineer.md"),
    "cell": (CellConfig, "configuration.md"),
    "scene": (SceneConfig, "configuration.md"),
}
POSE = "PoseConfig"

# What the models leave unsaid because a reader of the code sees it there. Section.field or field: meaning.
MEANINGS = {
    "format": "version of this file format",
    "Recipe.name": "the recipe's name; must be the file's name without `.yaml`",
    "Recipe.description": "for people",
    "mounting": "who moves: the arm carries the part before fixed cameras, or the cameras round a fixed part",
    "part": "the part and its CAD",
    "grasps": "one or two ways to hold the part, which is weighed and regrasped between; none for a camera on the arm",
    "fixture": "where the part lies for a camera on the arm",
    "viewpoints": "poses to look from; `views` says which of them are used in which grasp",
    "imaging": "how each camera's views are exposed and lit",
    "alignment": "finds the part in the hand from the wide views; presence and anomaly need it",
    "presence": "is each component there, and the right one; without it, not checked",
    "anomaly": "does the surface look like that of good parts; without it, not checked",
    "weight": "the part's mass; without it, not checked",
    "GraspConfig.name": "`views` refers to it",
    "T_tool_part": "the part in the tool frame while it is held so",
    "width_m": "distance of the jaws while they hold the part, metres",
    "ViewpointConfig.name": "`views` refers to it",
    "camera": "which camera looks: `inspection` judges, `wide` finds the part",
    "T_part_camera": "the camera's optical frame (x right, y down, z forward) in the part frame",
    "components": "which components are looked for",
    "AnomalyLimits.uncertain": "a part above it is looked at by a person",
    "AnomalyLimits.defect": "as many views above it as `views_to_fail` says fail the part",
    "AnomalyLimits.critical": "one view above it fails the part",
    "limits": "of the part, on the normalised scores; written by commissioning",
    "radius_m": "metres",
    "height_m": "metres",
    "CellConfig.name": "the cell's name, for people",
    "namespace": "ROS namespace of every node, topic and service of the cell",
    "mode": "what the cell does with parts; `production` needs real devices throughout",
    "cameras": "the cameras by role",
    "light": "the lighting",
    "CellConfig.gripper": "the gripper",
    "scale": "the scale",
    "signals": "what the safety PLC says",
    "CellConfig.arm": "the arm",
    "simulation": "needed where a device is simulated",
    "supervision": "how the lifecycle manager watches the nodes",
    "records": "where what happened is kept",
    "device": "the camera itself",
    "calibration": "from calibrating the camera; of the pixels as delivered",
    "backend": "which driver",
    "BoxConfig.name": "unique among the boxes",
    "size_m": "edge lengths along the box's own x, y, z, metres",
    "xyz_m": "translation, metres",
    "rpy_deg": "roll, pitch, yaw about fixed axes as in URDF, degrees",
    "SceneConfig.arm": "the arm and how fast it may move",
    "SceneConfig.gripper": "the gripper as the planner sees it",
    "SceneConfig.part": "replaced by the recipe's `part.envelope`",
    "SceneConfig.grasps": "replaced by the recipe's",
    "SceneConfig.viewpoints": "replaced by the recipe's",
    "SceneConfig.cameras": "where the cameras stand, or sit on the tool, and how large they are, as obstacles",
    "obstacles": "everything else that the arm must not touch",
    "stations": "`infeed` (or fixture), `scale`, `good`, `reject`, `rework`: where a part stands or is let go",
    "tool_frame": "link of the URDF; the tool's z points at the part",
    "home_rad": "joint angles of the home position, radians",
    "speed_scaling": "share of the joints' speed limits in the URDF that is used",
    "acceleration_scaling": "share of the acceleration limits that is used",
    "open_width_m": "distance of the open jaws, metres",
    "rests_on": "the obstacle that the part stands on; empty where it drops",
}
# Defaults that a schema does not hold, since they are made by a function.
DEFAULTS = {"SimulatedLightConfig.settings": f"`{SimulatedLightConfig().settings}`"}


def table(name: str) -> str:
    """The Markdown tables of one block."""
    model, _ = BLOCKS[name]
    schema = model.model_json_schema()
    definitions: dict[str, Any] = schema.get("$defs", {})
    lines: list[str] = []
    waiting = [("", model.__name__, schema)]
    told: set[str] = set()
    while waiting:
        path, title, section = waiting.pop(0)
        if title in told:
            continue
        told.add(title)
        if path:
            lines += [f"**`{path}`**: {section['description']}", ""]
        lines += ["| field | value | default | meaning |", "|---|---|---|---|"]
        required = section.get("required", [])
        inner: list[tuple[str, str, dict[str, Any]]] = []
        for key, value in section["properties"].items():
            default = "required" if key in required else DEFAULTS.get(f"{title}.{key}") or _default(value)
            lines.append(f"| `{key}` | {_value(value, definitions)} | {default} | {_meaning(title, key, value)} |")
            where = f"{path}.{key}".lstrip(".")
            inner += [(_path(where, value, t, definitions), t, definitions[t]) for t in _sections(value) if t != POSE]
        lines.append("")
        waiting = inner + waiting  # what a section holds stands right behind it
    if POSE in definitions:
        lines += ["A **pose** has `xyz_m` (translation, metres) and `rpy_deg` (roll, pitch, yaw about fixed axes as in"]
        lines += ["URDF, degrees; default 0 0 0).", ""]
    return "\n".join(lines)


def updated(page: str) -> str:
    """A page of docs/ with its tables as the models have them now."""
    text = (DOCS / page).read_text(encoding="utf-8")
    for name, (_, where) in BLOCKS.items():
        if where == page:
            start, end = f"<!-- fields: {name} -->\n", "<!-- end of fields -->"
            pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
            text, count = pattern.subn(lambda _, s=start, n=name, e=end: f"{s}{table(n)}{e}", text)  # type: ignore[misc]
            if count != 1:
                raise ValueError(f"{DOCS / page}: needs the block 'fields: {name}' once, has it {count} times")
    return text


def _sections(value: dict[str, Any]) -> list[str]:
    """Names of the sections that a field holds."""
    found = [value["$ref"].rsplit("/", 1)[-1]] if "$ref" in value else []
    for key in ("anyOf", "oneOf"):
        found += [name for item in value.get(key, []) for name in _sections(item)]
    for key in ("items", "additionalProperties"):
        if isinstance(value.get(key), dict):
            found += _sections(value[key])
    return found


def _path(path: str, value: dict[str, Any], title: str, definitions: dict[str, Any]) -> str:
    """Where a section stands in the file."""
    if value.get("type") == "array":
        return f"{path}[ ]"
    if isinstance(value.get("additionalProperties"), dict):
        return f"{path}.*"
    if "oneOf" in value:
        backend = definitions[title]["properties"]["backend"]["const"]
        return f"{path} (backend: {backend})"
    return path


def _value(value: dict[str, Any], definitions: dict[str, Any]) -> str:
    """What may stand there."""
    if "$ref" in value:
        return "a pose" if value["$ref"].endswith(POSE) else "section"
    if "anyOf" in value:
        return " or ".join(_value(item, definitions) for item in value["anyOf"] if item.get("type") != "null")
    if "oneOf" in value:
        backends = [definitions[t]["properties"]["backend"]["const"] for t in _sections(value)]
        return "section, backend " + _or(backends)
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        return _or(value["enum"])
    kind = value.get("type")
    if kind == "array":
        return _array(value, definitions)
    if kind == "object":
        return _mapping(value, definitions)
    if kind == "boolean":
        return "`true` or `false`"
    if kind in ("number", "integer"):
        return " ".join(["whole number" if kind == "integer" else "number", ", ".join(_bounds(value))]).strip()
    return {"^[0-9a-f]{64}$": "SHA-256, hex", "^(inspection|wide)$": "`inspection` or `wide`"}.get(
        value.get("pattern", ""), "name (letters, digits, _)" if "pattern" in value else "text"
    )


def _array(value: dict[str, Any], definitions: dict[str, Any]) -> str:
    if "prefixItems" in value:
        items = [_value(item, definitions) for item in value["prefixItems"]]
        return f"{len(items)} x {items[0]}"
    return f"list of {_plural(_value(value['items'], definitions))}"


def _mapping(value: dict[str, Any], definitions: dict[str, Any]) -> str:
    inner = value.get("additionalProperties") or next(iter(value.get("patternProperties", {}).values()))
    names = value.get("propertyNames", {}).get("enum")
    return f"{_or(names) if names else 'name'}: {_value(inner, definitions)}"


def _plural(text: str) -> str:
    return {"section": "sections", "text": "texts", "number": "numbers", "name (letters, digits, _)": "names"}.get(
        text, text
    )


def _bounds(value: dict[str, Any]) -> list[str]:
    words = (("exclusiveMinimum", ">"), ("minimum", "≥"), ("exclusiveMaximum", "<"), ("maximum", "≤"))
    return [f"{sign} {value[key]:g}" for key, sign in words if key in value]


def _or(values: list[Any]) -> str:
    named = [f"`{v}`" for v in values]
    return named[0] if len(named) == 1 else f"{', '.join(named[:-1])} or {named[-1]}"


def _default(value: dict[str, Any]) -> str:
    default = value.get("default")
    if default is None or default == {} or (default == [] and "$ref" not in value):
        return "none"
    if isinstance(default, dict) or (isinstance(default, list) and default and isinstance(default[0], list)):
        return "see below"
    if isinstance(default, list):
        return f"`{' '.join(str(v) for v in default)}`"
    if isinstance(default, bool):
        default = str(default).lower()
    return f"`{default}`" if default != "" else "empty"


def _meaning(section: str, key: str, value: dict[str, Any]) -> str:
    """The field's own description; else what is said of it here.

    Raises:
        KeyError: nobody says what the field means.
    """
    if "description" in value:
        return str(value["description"])
    return MEANINGS.get(f"{section}.{key}") or MEANINGS[key]


if __name__ == "__main__":
    for page_name in sorted({page for _, page in BLOCKS.values()}):
        (DOCS / page_name).write_text(updated(page_name), encoding="utf-8")
