"""Deliberately wrong files: each says in its `# expect:` lines what the reader must be told, to the word."""

from __future__ import annotations

from pathlib import Path

import pytest

from inspection_cell.recipe.cell_config import load_cell_config
from inspection_cell.recipe.loading import ConfigError
from inspection_cell.recipe.recipe import load_recipe

WRONG = Path(__file__).parent / "wrong"
LOADERS = {"recipes": load_recipe, "cells": load_cell_config}


@pytest.mark.parametrize("path", sorted(WRONG.rglob("*.yaml")), ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_a_wrong_file_is_refused_with_file_field_and_cure(path: Path) -> None:
    expected = [
        f"{path}: {line.removeprefix('# expect: ')}"
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.startswith("# expect: ")
    ]
    assert expected, f"{path} says nothing of what is expected"
    with pytest.raises(ConfigError) as raised:
        LOADERS[path.parent.name](path)
    assert sorted(str(raised.value).splitlines()) == sorted(expected)


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "part.yaml"
    path.write_text("format: 1\nname: 3\nweight: {nominal_g: -1}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        load_recipe(path)
    lines = str(raised.value).splitlines()
    assert all(line.startswith(f"{path}: field '") for line in lines)
    fields = {line.split("'")[1] for line in lines}
    assert {"name", "weight.nominal_g", "weight.uncertain_g", "mounting", "part", "viewpoints", "views"} <= fields


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.yaml: cannot be read: No such file"):
        load_recipe(tmp_path / "nothing.yaml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_recipe(tmp_path)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("description: Gehäuse".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"is not UTF-8 text \(byte 16\)"):
        load_recipe(latin)
    deep = tmp_path / "deep.yaml"
    deep.write_text("[" * 5000, encoding="utf-8")
    with pytest.raises(ConfigError, match="is not YAML"):
        load_recipe(deep)


def test_a_file_cannot_make_the_reader_run_code(tmp_path: Path) -> None:
    path = tmp_path / "evil.yaml"
    path.write_text("name: !!python/object/apply:os.system ['true']\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="could not determine a constructor"):
        load_recipe(path)
