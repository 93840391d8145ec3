"""What lies behind a part: crops of a folder's photographs, or of pictures made by code where there is no folder."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection_cell.training.procedural_images import make_sample

PROCEDURAL, PROCEDURAL_PX = 48, 384
LARGEST_PX = 1024
LEAST_SHARE = 0.2
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")


class Backgrounds:
    """Pictures to crop from. The same seed and folder give the same crops."""

    def __init__(self, folder: Path | None, seed: int) -> None:
        """Raises ValueError where the folder holds no picture, or one that cannot be read."""
        if folder is None:
            rng = np.random.default_rng(seed)
            self._pictures = [make_sample(rng, PROCEDURAL_PX).image for _ in range(PROCEDURAL)]
            self._files: list[Path] = []
            return
        self._files = sorted(p for p in folder.glob("*") if p.suffix.lower() in SUFFIXES) if folder.is_dir() else []
        if not self._files:
            raise ValueError(f"{folder}: no pictures ({', '.join(SUFFIXES)}); name a folder of backgrounds, or none")
        self._pictures = []

    def crop(self, rng: np.random.Generator, size: int) -> NDArray[np.float32]:
        """(size, size, 3) float32, 0 to 1: a place of a picture, turned, at a random size and shape."""
        picture = self._picture(rng)
        height, width = picture.shape[:2]
        side = min(height, width) * rng.uniform(LEAST_SHARE, 0.95)
        wide, high = side * np.exp(rng.uniform(-0.25, 0.25, 2))
        turn = rng.uniform(-np.pi, np.pi)
        middle = rng.uniform(0.3, 0.7, 2) * (width, height)
        c, s = np.cos(turn), np.sin(turn)
        across, down = np.array([c, s]) * wide / size, np.array([-s, c]) * high / size
        matrix = np.column_stack([across, down, middle - (across + down) * size / 2])
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        crop = cv2.warpAffine(picture, matrix, (size, size), flags=how, borderMode=cv2.BORDER_REFLECT_101)
        return np.asarray(crop, np.float32) / np.float32(255)

    def _picture(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        if self._pictures:
            return self._pictures[rng.integers(len(self._pictures))]
        path = self._files[rng.integers(len(self._files))]
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
        if picture is None:
            raise ValueError(f"{path}: cannot be read as a picture; remove it from the folder of backgrounds")
        scale = LARGEST_PX / max(picture.shape[:2])
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else picture
        return np.asarray(small, np.uint8)
