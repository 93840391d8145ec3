"""The demo's scene for the motion tests."""

from __future__ import annotations

from pathlib import Path

from inspection_cell.motion.config import SceneConfig, load_scene

SHARE = Path(__file__).parents[2]


def demo_scene() -> SceneConfig:
    """As in config/."""
    return load_scene(SHARE / "config" / "demo_scene.yaml")
