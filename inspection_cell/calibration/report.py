"""A page by which one can judge a calibration: figures with their deviations, what they rest on, and what remains."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from inspection_cell.anomaly.images import read_image
from inspection_cell.calibration.hand_eye import HandEye
from inspection_cell.calibration.intrinsics import Intrinsics
from inspection_cell.calibration.target import Target, size_m
from inspection_cell.common.report_page import (
    AMBER,
    BLUE,
    RED,
    embedded_picture,
    embedded_plot,
    html_page,
    html_table,
    plot,
)
from inspection_cell.core.poses import Pose, inverse, rpy_from_rotation, transform

PAGE = "index.html"
NAMES = ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2", "k3")
ARROW = 0.04
"""Of the image's width, for the largest of nearly all residuals."""
Floats = NDArray[np.float64]


def write_intrinsics_report(found: Intrinsics, images: Path, without: tuple[str, ...], folder: Path) -> Path:
    """Writes the page on a camera's intrinsics; returns its path."""
    k, worst = found.camera.matrix, _worst(found.residuals)
    values = [k[0, 0], k[1, 1], k[0, 2], k[1, 2], *found.camera.distortion]
    rows = [("", "value", "standard deviation")]
    rows += [
        (n, f"{v:.6g}", f"{s:.2g}" if s else "held at 0") for n, v, s in zip(NAMES, values, found.sigma, strict=True)
    ]
    left = f"; {found.left_out} points left out" if found.left_out else ""
    name, detection, residual = found.names[worst], found.detections[worst], found.residuals[worst]
    body = [
        f"<p>{len(found.names)} images, {sum(map(len, found.detections))} points{left}. Points found and projected lie "
        f"{found.rms_px:.3f} pixels apart (root mean square). {found.covered:.0%} of the image lies among the points. "
        f"Where a far point appears is known to {found.sigma_px.max():.3f} pixels anywhere.</p>",
        "<h2>Values</h2>",
        html_table(rows),
        "<h2>Where a point appears: how well that is known</h2>",
        embedded_plot(
            _draw_sigma(found), "Standard deviation in pixels. Large at a rim: take images with the target there."
        ),
        "<h2>What remains</h2>",
        embedded_plot(
            _draw_residuals(found),
            "Found minus projected. Where arrows point one way: the model, the print or its flatness is off.",
        ),
        "<h2>The image that fits worst</h2>",
        embedded_picture(
            _overlay(images / name, detection.pixels, detection.pixels - residual),
            f"{name}: found (green), projected (red).",
        ),
        "<h2>Images</h2>",
        html_table([("image", "points", "rms, pixels", "distance, mm", "tilt, degrees"), *_image_rows(found)]),
        *_unused(without),
    ]
    return _written(folder, "Camera calibration", body)


def write_hand_eye_report(
    found: HandEye, target: Target, images: Path, seen: dict[str, Floats], without: tuple[str, ...], folder: Path
) -> Path:
    """Writes the page on a camera's place.

    Args:
        seen: of each picture the points that were found (n, 2), pixels.
    """
    place, turn = found.T_camera[:3, 3] * 1e3, np.degrees(rpy_from_rotation(found.T_camera[:3, :3]))
    sigma_mm, sigma_deg = found.sigma[:3] * 1e3, np.degrees(found.sigma[3:])
    frame = "tool" if found.mounting == "in_hand" else "world"
    rows = [("", f"in the {frame} frame", "standard deviation, in the camera's frame")]
    rows += [(f"{n}, mm", f"{v:.3f}", f"{s:.3f}") for n, v, s in zip("xyz", place, sigma_mm, strict=True)]
    names = ("roll", "pitch", "yaw")
    rows += [(f"{n}, degrees", f"{v:.4f}", f"{s:.4f}") for n, v, s in zip(names, turn, sigma_deg, strict=True)]
    worst = _worst(found.residuals)
    name, residual = found.names[worst], found.residuals[worst]
    left = f" Left out, because they fit no other: {', '.join(found.left_out)}." if found.left_out else ""
    body = [
        f"<p>{len(found.names)} poses. Points found and projected lie {found.rms_px:.3f} pixels apart (root mean "
        f"square) once the arm's own error is taken out: {found.arm_m * 1e3:.3f} mm and "
        f"{np.degrees(found.arm_rad):.4f} degrees a coordinate (standard deviation).{left}</p>",
        "<h2>Where the camera is</h2>",
        html_table(rows),
        "<h2>What it rests on</h2>",
        embedded_plot(
            _draw_views(found, target),
            "The target as the camera sees it (in the camera's frame), at all poses: the more they tilt, the better.",
        ),
        "<h2>The arm's error at each pose</h2>",
        embedded_plot(_draw_arm(found), "How far each pose must be moved so that all images fit; in the tool's frame."),
        "<h2>The image that fits worst</h2>",
        embedded_picture(
            _overlay(images / name, seen[name], seen[name] - residual), f"{name}: found (green), projected (red)."
        ),
        *_unused(without),
    ]
    return _written(folder, "Hand-eye calibration", body)


def _written(folder: Path, title: str, body: list[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / PAGE
    page.write_text(html_page(title, body), encoding="utf-8")
    return page


def _unused(without: tuple[str, ...]) -> list[str]:
    return [f'<p class="note">Too little of the target is seen in: {", ".join(without)}.</p>'] if without else []


def _rms(residual: Floats) -> float:
    return float(np.sqrt(np.mean(np.sum(residual**2, axis=1))))


def _worst(residuals: tuple[Floats, ...]) -> int:
    return int(np.argmax([_rms(r) for r in residuals]))


def _image_rows(found: Intrinsics) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name, d, T, r in zip(found.names, found.detections, found.T_camera_target, found.residuals, strict=True):
        tilt = float(np.degrees(np.arccos(min(abs(T[2, 2]), 1.0))))
        distance = float(transform(T, d.points)[:, 2].mean())
        rows.append((name, f"{len(d)}", f"{_rms(r):.3f}", f"{distance * 1e3:.0f}", f"{tilt:.0f}"))
    return rows


def _draw_sigma(found: Intrinsics) -> Figure:
    figure, (axis,) = plot(6.0, 4.4)
    axis.grid(visible=False)
    extent = (-0.5, found.camera.width - 0.5, found.camera.height - 0.5, -0.5)
    shown = axis.imshow(found.sigma_px, cmap="viridis", extent=extent, interpolation="bilinear", vmin=0)
    for d in found.detections:
        axis.plot(*d.pixels.T, ".", color="white", ms=1, alpha=0.5)
    figure.colorbar(shown, ax=axis, label="pixels")
    axis.set(xlabel="u", ylabel="v")
    return figure


def _draw_residuals(found: Intrinsics) -> Figure:
    figure, (axis,) = plot(6.0, 4.6)
    pixels = np.concatenate([d.pixels for d in found.detections])
    residuals = np.concatenate(found.residuals)
    size = max(float(np.quantile(np.linalg.norm(residuals, axis=1), 0.98)), 1e-6)
    per_px = size / (ARROW * found.camera.width)
    arrows = axis.quiver(*pixels.T, *residuals.T, angles="xy", scale_units="xy", scale=per_px, color=BLUE, width=0.0015)
    axis.quiverkey(arrows, 0.86, 1.03, size, f"{size:.2f} pixels", labelpos="E")
    axis.set(xlabel="u", ylabel="v", xlim=(0, found.camera.width), ylim=(found.camera.height, 0))
    axis.set_aspect("equal")
    return figure


def _draw_views(found: HandEye, target: Target) -> Figure:
    """From the side and from above: the target's outline at every pose, in millimetres."""
    width, height = size_m(target)
    outline = np.array([[0, 0, 0], [width, 0, 0], [width, height, 0], [0, height, 0], [0, 0, 0.0]])
    figure = Figure(figsize=(8.0, 3.6), layout="constrained")
    for axis, across, name in zip(figure.subplots(1, 2), (0, 1), "xy", strict=True):
        for T in _target_poses(found):
            corners = transform(T, outline) * 1e3
            axis.plot(corners[:, 2], corners[:, across], color=BLUE, linewidth=0.9)
        axis.plot(0, 0, ">", color=RED, ms=9)
        axis.set(xlabel="z, mm", ylabel=f"{name}, mm")
        axis.set_aspect("equal", adjustable="datalim")
        axis.grid(color="#e4e4e4", linewidth=0.7)
    return figure


def _target_poses(found: HandEye) -> list[Pose]:
    """T_camera_target at every pose."""
    middle = (inverse(T) if found.mounting == "in_hand" else T for T in found.T_world_tool)
    return [inverse(found.T_camera) @ G @ found.T_target for G in middle]


def _draw_arm(found: HandEye) -> Figure:
    figure = Figure(figsize=(8.0, 3.0), layout="constrained")
    for axis, columns, factor, unit, one in zip(
        figure.subplots(1, 2), ((0, 1, 2), (3, 4, 5)), (1e3, 180 / np.pi), ("mm", "degrees"), (BLUE, AMBER), strict=True
    ):
        sizes = np.linalg.norm(found.arm_errors[:, columns], axis=1) * factor
        axis.bar(range(len(sizes)), sizes, color=one)
        axis.set_xticks(range(len(sizes)), found.names, rotation=90, fontsize=6)
        axis.set(ylabel=unit)
    return figure


def _overlay(path: Path, found: Floats, projected: Floats) -> NDArray[np.uint8]:
    """The picture with points found as green crosses and projected as red circles."""
    picture = read_image(path)
    canvas = cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB) if picture.ndim == 2 else picture.copy()
    scale = min(1.0, 1400 / canvas.shape[1])
    canvas = cv2.resize(canvas, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    for (u, v), (a, b) in zip(found * scale, projected * scale, strict=True):
        cv2.drawMarker(canvas, (round(u), round(v)), (0, 200, 0), cv2.MARKER_CROSS, 9, 1, cv2.LINE_AA)
        cv2.circle(canvas, (round(a), round(b)), 6, (230, 0, 0), 1, cv2.LINE_AA)
    return np.asarray(canvas, np.uint8)
