"""Reads a YAML file into a pydantic model; every mistake is named: file, field, what was found, what is allowed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

Model = TypeVar("Model", bound=BaseModel)


class ConfigError(ValueError):
    """A file that a person wrote is wrong; the message says where and what is allowed."""


class Strict(BaseModel):
    """Base of every section: unknown keys are refused, values do not change once read, NaN and infinity neither."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML in which a key that stands twice is an error instead of silently the last one."""


def _unique_mapping(loader: _UniqueKeyLoader, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    keys: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, (str, int, float, bool)):
            raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is not a name", key_node.start_mark)
        if key in keys:
            raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", key_node.start_mark)
        keys.add(key)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


_UniqueKeyLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ConfigError: the file cannot be read, is not YAML, or holds no mapping.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(f"{path}: is not YAML: {_yaml_problem(error)}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: holds {type(content).__name__}, expected a mapping of fields")
    return content


def _yaml_problem(error: Exception) -> str:
    """Where a file stops being YAML, in one line."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or " ".join(str(error).split())
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}" if mark is not None else problem


def load_model(path: Path, model: type[Model]) -> Model:
    """Reads a file and checks it against its schema.

    Raises:
        ConfigError: with one line for every wrong field.
    """
    return validate(read_yaml(path), model, str(path))


def validate(content: dict[str, Any], model: type[Model], source: str) -> Model:
    """Checks a mapping against its schema; `source` is named in the error.

    Raises:
        ConfigError: with one line for every wrong field.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise ConfigError("\n".join(f"{source}: {line}" for line in describe(error))) from error


def describe(error: ValidationError) -> list[str]:
    """One line for every wrong field: where, what was found, what is allowed."""
    lines = []
    items = error.errors(include_url=False)
    for item in items:
        if item["type"] == "too_short" and any(i["loc"][: len(item["loc"])] == item["loc"] != i["loc"] for i in items):
            continue  # pydantic counts only valid members: what is wrong with them is said by their own lines
        field = ".".join(str(part) for part in item["loc"]) or "(the whole file)"
        if item["type"] == "value_error" and not item["loc"]:
            # A check over several fields; its text begins with the field that it is about.
            name, colon, text = str(item["ctx"]["error"]).partition(": ")
            lines.append(f"field '{name}': {text}" if colon else name)
        elif item["type"] == "extra_forbidden":
            lines.append(f"field '{field}': is not known here; check the spelling or remove it")
        elif item["type"] == "missing":
            lines.append(f"field '{field}': is missing")
        else:
            found = repr(item.get("input"))
            found = found if len(found) < 80 else found[:77] + "..."
            lines.append(f"field '{field}': found {found}; {item['msg'].removeprefix('Value error, ')}")
    return lines


def content_hash(model: BaseModel) -> str:
    """SHA-256 of a model's canonical JSON: the same content has the same hash, however its file is laid out."""
    canonical = json.dumps(model.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
