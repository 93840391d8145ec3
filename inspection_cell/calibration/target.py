"""Flat calibration targets, ChArUco boards and AprilGrids: their points, a picture to print, finding them in images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Annotated, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from inspection_cell.recipe.loading import Strict

LEAST_POINTS = 8
"""Of a target in an image: with fewer the image is left out."""
PositiveFloat = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=2, le=64)]
_TAG_BITS = 6


class CharucoTarget(Strict):
    """A chessboard with ArUco markers in its white squares, as OpenCV and calib.io print it."""

    kind: Literal["charuco"]
    squares: tuple[Count, Count] = Field(description="squares along the board's x and y")
    square_m: PositiveFloat = Field(description="side of a square, metres, as measured on the print")
    marker_m: PositiveFloat = Field(description="side of a marker with its black border, metres")
    dictionary: str = Field(description="as OpenCV names it without DICT_, such as 4X4_100 or APRILTAG_36h11")
    legacy: bool = Field(default=False, description="printed by OpenCV before 4.6 with an even number of rows")

    @model_validator(mode="after")
    def _fits(self) -> CharucoTarget:
        if self.marker_m >= self.square_m:
            raise ValueError(f"marker_m {self.marker_m} must be less than square_m {self.square_m}")
        number = getattr(cv2.aruco, f"DICT_{self.dictionary}", None)
        if number is None:
            known = sorted(name.removeprefix("DICT_") for name in dir(cv2.aruco) if name.startswith("DICT_"))
            raise ValueError(f"dictionary {self.dictionary!r} is not known; OpenCV has {', '.join(known)}")
        needed, there = self.squares[0] * self.squares[1] // 2, len(_dictionary(number).bytesList)
        if needed > there:
            raise ValueError(f"dictionary {self.dictionary} has {there} markers, the board needs {needed}")
        return self


class AprilGridTarget(Strict):
    """A grid of AprilTags 36h11 with small black squares between their corners, as Kalibr prints it.

    Tag 0 is at the lower left, numbers run along the rows, then up.
    """

    kind: Literal["aprilgrid"]
    tags: tuple[Count, Count] = Field(description="tags along the board's x and y (Kalibr: tagCols, tagRows)")
    tag_m: PositiveFloat = Field(description="side of a tag with its black border, metres (Kalibr: tagSize)")
    spacing: PositiveFloat = Field(lt=1, description="gap between tags as a share of tag_m (Kalibr: tagSpacing)")
    border_bits: Literal[1, 2] = Field(default=2, description="width of a tag's black border in its bits; Kalibr: 2")

    @model_validator(mode="after")
    def _fits(self) -> AprilGridTarget:
        needed, there = self.tags[0] * self.tags[1], len(_dictionary(cv2.aruco.DICT_APRILTAG_36h11).bytesList)
        if needed > there:
            raise ValueError(f"tags {self.tags[0]} x {self.tags[1]}: there are only {there} different ones")
        return self


Target = CharucoTarget | AprilGridTarget


@dataclass(frozen=True)
class Detection:
    """A target's points that were found in one image.

    Attributes:
        numbers: (n,) int64, which of the target's points.
        points: (n, 3) float64, metres, in the target's frame; z is 0.
        pixels: (n, 2) float64, pixel centres at whole numbers.
    """

    numbers: NDArray[np.int64]
    points: NDArray[np.float64]
    pixels: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.numbers)

    def only(self, which: NDArray[np.bool_]) -> Detection:
        """Those for which `which` (n,) is true."""
        return Detection(self.numbers[which], self.points[which], self.pixels[which])


def target_points(target: Target) -> NDArray[np.float64]:
    """(n, 3) metres, z 0. ChArUco: the inner corners of the chessboard, from its upper left corner, y down the board.

    AprilGrid: four corners a tag, from its lower left one counterclockwise; the first is the origin, y up the board.
    """
    if isinstance(target, CharucoTarget):
        return np.asarray(_board(target).getChessboardCorners(), float)
    columns, rows = target.tags
    corners = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.0]]) * target.tag_m
    pitch = target.tag_m * (1 + target.spacing)
    return np.concatenate([corners + (c * pitch, r * pitch, 0) for r in range(rows) for c in range(columns)])


def size_m(target: Target) -> tuple[float, float]:
    """Width and height from edge to edge of what is black."""
    if isinstance(target, CharucoTarget):
        return target.squares[0] * target.square_m, target.squares[1] * target.square_m
    (columns, rows), gap = target.tags, target.spacing
    return tuple(target.tag_m * (n * (1 + gap) + gap) for n in (columns, rows))  # type: ignore[return-value]


def drawn(target: Target, pixels_per_m: float) -> NDArray[np.uint8]:
    """The target as a grey picture without a margin, to print or to render: `size_m` is as wide as it.

    It is a little finer than asked, so that squares have whole pixels and all proportions are exact.
    """
    if isinstance(target, CharucoTarget):
        side = math.ceil(target.square_m * pixels_per_m)
        width, height = (side * n for n in target.squares)
        return np.asarray(_board(target).generateImage((width, height), marginSize=0, borderBits=1), np.uint8)
    return _drawn_grid(target, pixels_per_m)


def find(target: Target, image: NDArray[np.uint8]) -> Detection | None:
    """The target's points in an image (h, w) or (h, w, 3), refined below a pixel; None where hardly any are seen."""
    grey = image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
    found = _charuco(target, grey) if isinstance(target, CharucoTarget) else _grid(target, grey)
    return found if found is not None and len(found) >= LEAST_POINTS else None


# ---- ChArUco


@cache
def _dictionary(number: int) -> cv2.aruco.Dictionary:
    return cv2.aruco.getPredefinedDictionary(number)


def _board(target: CharucoTarget) -> cv2.aruco.CharucoBoard:
    dictionary = _dictionary(getattr(cv2.aruco, f"DICT_{target.dictionary}"))
    board = cv2.aruco.CharucoBoard(target.squares, target.square_m, target.marker_m, dictionary)
    board.setLegacyPattern(target.legacy)
    return board


def _charuco(target: CharucoTarget, grey: NDArray[np.uint8]) -> Detection | None:
    detector = cv2.aruco.CharucoDetector(_board(target))
    corners, ids, _, _ = detector.detectBoard(grey)
    if ids is None or not len(ids):
        return None
    numbers = np.asarray(ids, np.int64).ravel()
    return Detection(numbers, target_points(target)[numbers], np.asarray(corners, np.float64).reshape(-1, 2))


# ---- AprilGrid


def _grid(target: AprilGridTarget, grey: NDArray[np.uint8]) -> Detection | None:
    settings = cv2.aruco.DetectorParameters()
    settings.markerBorderBits = target.border_bits
    detector = cv2.aruco.ArucoDetector(_dictionary(cv2.aruco.DICT_APRILTAG_36h11), settings)
    corners, ids, _ = detector.detectMarkers(grey)
    count = target.tags[0] * target.tags[1]
    numbered = [] if ids is None else np.asarray(ids).ravel().tolist()
    tags = {i: np.asarray(c, float).reshape(4, 2) for i, c in zip(numbered, corners, strict=True) if i < count}
    if len(tags) < 2:
        return None
    numbers = np.array([4 * tag + corner for tag in tags for corner in range(4)])
    points = target_points(target)[numbers]
    pixels = _in_order(points, np.stack(list(tags.values())))
    # A corner of a tag and the small square that touches it are a saddle of brightness, which is found precisely.
    sides = np.linalg.norm(pixels.reshape(-1, 4, 2) - np.roll(pixels.reshape(-1, 4, 2), 1, axis=1), axis=2)
    window = int(np.clip(sides.min() * target.spacing / 2, 2, 11))
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_COUNT, 40, 1e-3)
    start = np.ascontiguousarray(pixels[:, None], np.float32)
    found = cv2.cornerSubPix(grey, start, (window, window), (-1, -1), stop)
    refined = np.asarray(found, np.float64).reshape(-1, 2)
    near = np.linalg.norm(refined - pixels, axis=1) < window
    return Detection(numbers, points, refined).only(near)


def _in_order(points: NDArray[np.float64], corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """(4 n, 2) of the tags' corners (n, 4, 2), clockwise from any, so that they fit the points (4 n, 3) of a plane.

    Printers and detectors disagree which corner of a tag is the first; only one order fits a flat board.
    """
    orders = [np.roll(corners[:, ::-1], turn, axis=1).reshape(-1, 2) for turn in range(4)]
    return min(orders, key=lambda pixels: _misfit(points, pixels))


def _misfit(points: NDArray[np.float64], pixels: NDArray[np.float64]) -> float:
    plane, _ = cv2.findHomography(points[:, :2], pixels, 0)
    if plane is None:
        return np.inf
    mapped = cv2.perspectiveTransform(points[:, None, :2], plane)[:, 0]
    return float(np.median(np.linalg.norm(mapped - pixels, axis=1)))


def _drawn_grid(target: AprilGridTarget, pixels_per_m: float) -> NDArray[np.uint8]:
    bits = _TAG_BITS + 2 * target.border_bits
    whole = (Fraction(target.spacing).limit_denominator(1000) * bits).denominator
    scale = whole * math.ceil(target.tag_m * pixels_per_m / bits / whole)
    side, gap = bits * scale, round(bits * scale * target.spacing)
    (columns, rows), pitch = target.tags, side + gap
    picture = np.full((rows * pitch + gap, columns * pitch + gap), 255, np.uint8)
    dictionary = _dictionary(cv2.aruco.DICT_APRILTAG_36h11)
    for row in range(rows + 1):
        for column in range(columns + 1):
            top, left = (rows - row) * pitch, column * pitch
            picture[top : top + gap, left : left + gap] = 0
            if row < rows and column < columns:
                tag = dictionary.generateImageMarker(row * columns + column, side, borderBits=target.border_bits)
                # OpenCV has these tags turned by half against the ones that others print.
                picture[top - side : top, left + gap : left + pitch] = np.rot90(tag, 2)
    return picture
