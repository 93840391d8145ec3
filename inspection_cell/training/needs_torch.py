"""Loads PyTorch, before anything is rendered."""

from __future__ import annotations

import importlib


def load_torch() -> None:
    """Raises ValueError, with the cure, where PyTorch is not installed.

    PyTorch's compiler and a software renderer's both bring LLVM; they get on only when PyTorch's comes first.
    """
    try:
        importlib.import_module("torch._dynamo")
    except ImportError as error:
        raise ValueError('training needs PyTorch: pip install "inspection_cell[train]"') from error
