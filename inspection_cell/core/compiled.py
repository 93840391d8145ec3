"""C files of the package, compiled once for each instruction set (setup.py): opens the one for this processor."""

from __future__ import annotations

import ctypes
import logging
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from numpy.typing import NDArray

# What each needs of the processor; the best comes first.
VARIANTS = MappingProxyType(
    {
        "avx512": frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl", "f16c"}),
        "avx2": frozenset({"avx2", "fma", "f16c"}),
        "base": frozenset(),
    }
)


def open_library(folder: Path, stem: str, variant: str, version: int) -> ctypes.CDLL | None:
    """`_<stem>_<variant>` in a folder; None where it was not built, is out of date, or the processor cannot run it.

    Args:
        version: what the library's function `<stem>_version` must give.
    """
    files = sorted(folder.glob(f"_{stem}_{variant}.*.so"))
    if not files or not VARIANTS[variant] <= _processor():
        return None
    library = ctypes.CDLL(str(files[0]))
    tells = getattr(library, f"{stem}_version", None)
    if tells is None or tells() != version:
        logging.getLogger(__name__).warning("%s is of another %s.c: install the package again", files[0].name, stem)
        return None
    return library


def pointer(array: NDArray[Any]) -> ctypes.c_void_p:
    """Its address. The array must have a name that outlives the call: the pointer does not keep it."""
    if not array.flags.c_contiguous:
        raise ValueError(f"an array of shape {array.shape} is not contiguous")
    return ctypes.c_void_p(array.ctypes.data)


@lru_cache(maxsize=1)
def _processor() -> frozenset[str]:
    """The instruction sets that Linux names; none elsewhere."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    return frozenset(next((line.split(":", 1)[1].split() for line in lines if line.startswith("flags")), []))
