"""`inspection-cell draw-target`, `calibrate-camera`, `calibrate-hand-eye`: a camera and its place, from pictures."""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path
from typing import get_args

import cv2
import numpy as np

from inspection_cell.calibration.files import (
    COLUMNS,
    IntrinsicsFile,
    Seen,
    find_in_folder,
    intrinsics_of,
    intrinsics_text,
    load_poses,
    load_target,
    section_text,
)
from inspection_cell.calibration.hand_eye import Mounting, Stop, calibrate_hand_eye
from inspection_cell.calibration.intrinsics import calibrate_intrinsics
from inspection_cell.calibration.report import write_hand_eye_report, write_intrinsics_report
from inspection_cell.calibration.target import drawn, size_m
from inspection_cell.cli.commissioning import progress_bar
from inspection_cell.recipe.loading import load_model

DPI = 600
INCH_M = 0.0254
PAPER_MARGIN = 0.02
"""White around a printed target, as a share of its width: the detectors need a light border."""


def add_parsers(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the commands of this module; `run(namespace)` gives the exit code."""
    draw = subparsers.add_parser("draw-target", help="draw a calibration target to print")
    draw.add_argument("target", type=Path, help="what it is: YAML, docs/calibration.md says which")
    draw.add_argument("--out", type=Path, required=True, metavar="PNG", help=f"picture with {DPI} dots an inch")
    draw.set_defaults(run=draw_command)
    camera = subparsers.add_parser("calibrate-camera", help="a camera's intrinsics from pictures of a target")
    _add_common(camera)
    camera.set_defaults(run=camera_command)
    hand_eye = subparsers.add_parser(
        "calibrate-hand-eye", help="where a camera sits, from pictures and the arm's poses"
    )
    _add_common(hand_eye)
    hand_eye.add_argument("--intrinsics", type=Path, required=True, help="intrinsics.yaml of calibrate-camera")
    hand_eye.add_argument("--poses", type=Path, required=True, metavar="CSV", help=f"T_world_tool: {','.join(COLUMNS)}")
    hand_eye.add_argument(
        "--mounting",
        choices=get_args(Mounting),
        required=True,
        help="in_hand: camera on the tool, target stands; fixed: camera stands, target on the tool",
    )
    hand_eye.set_defaults(run=hand_eye_command)


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "images", type=Path, metavar="FOLDER", help="the pictures, all of one camera as it delivers them"
    )
    command.add_argument("--target", type=Path, required=True, metavar="YAML", help="what was printed")
    command.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where result and report go")
    command.add_argument("--id", help="what this calibration is called (default: --out's name and the date)")


def draw_command(arguments: argparse.Namespace) -> int:
    """Writes the picture and says how large it must come out of the printer."""
    target = load_target(arguments.target)
    picture = drawn(target, DPI / INCH_M)
    width, height = size_m(target)
    dots_per_m = picture.shape[1] / width
    margin = round(PAPER_MARGIN * picture.shape[1])
    sheet = cv2.copyMakeBorder(picture, *(margin,) * 4, cv2.BORDER_CONSTANT, value=255)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(arguments.out), sheet):
        raise OSError(f"{arguments.out}: cannot be written; name a PNG file in a folder that can")
    print(
        f"{arguments.out}: print it with {dots_per_m * INCH_M:.2f} dots an inch on something flat; what is black must "
        f"be {width * 1e3:.1f} mm wide and {height * 1e3:.1f} mm high. Measure it, and put what you measured into "
        f"{arguments.target}"
    )
    return 0


def camera_command(arguments: argparse.Namespace) -> int:
    """Calibrates, writes intrinsics.yaml and the report, and says how well."""
    seen = _find(arguments)
    found = calibrate_intrinsics(list(seen.found.items()), seen.width, seen.height)
    file = intrinsics_of(found, _id(arguments))
    page = write_intrinsics_report(found, arguments.images, seen.without, arguments.out)
    result = arguments.out / "intrinsics.yaml"
    result.write_text(intrinsics_text(file), encoding="utf-8")
    pictures = len(seen.found) + len(seen.without)
    print(
        f"{result}: {len(found.names)} of {pictures} pictures, {found.rms_px:.3f} pixels (rms); "
        f"where a far point appears is known to {found.sigma_px.max():.3f} pixels; look at {page}"
    )
    return 0


def hand_eye_command(arguments: argparse.Namespace) -> int:
    """Calibrates, writes calibration.yaml and the report, and says how well."""
    intrinsics = load_model(arguments.intrinsics, IntrinsicsFile)
    poses = load_poses(arguments.poses)
    seen = _find(arguments)
    if (seen.width, seen.height) != (intrinsics.width, intrinsics.height):
        raise ValueError(
            f"{arguments.images}: pictures are {seen.width}x{seen.height}, {arguments.intrinsics} is of "
            f"{intrinsics.width}x{intrinsics.height}; both must be of the same camera as it delivers them"
        )
    lost = [name for name in seen.found if name not in poses]
    if lost:
        raise ValueError(
            f"{arguments.poses}: has no pose for {', '.join(lost[:5])}; a line begins with the file's name"
        )
    stops = [Stop(name, poses[name], detection) for name, detection in seen.found.items()]
    found = calibrate_hand_eye(stops, intrinsics.camera, arguments.mounting)
    pixels = {name: detection.pixels for name, detection in seen.found.items()}
    target = load_target(arguments.target)
    page = write_hand_eye_report(found, target, arguments.images, pixels, seen.without, arguments.out)
    result = arguments.out / "calibration.yaml"
    result.write_text(section_text(intrinsics, found, _id(arguments)), encoding="utf-8")
    print(
        f"{result}: {len(found.names)} of {len(poses)} poses; the camera's place is known to "
        f"{found.sigma[:3].max() * 1e3:.3f} mm and {np.degrees(found.sigma[3:].max()):.4f} degrees, the arm's poses "
        f"are good to {found.arm_m * 1e3:.3f} mm and {np.degrees(found.arm_rad):.4f} degrees; look at {page}"
    )
    if found.left_out:
        print(f"left out, for they fit no other: {', '.join(found.left_out)}")
    print("put it into the cell's configuration as cameras.<role>.calibration")
    return 0


def _id(arguments: argparse.Namespace) -> str:
    return arguments.id or f"{arguments.out.resolve().name}-{date.today().isoformat()}"


def _find(arguments: argparse.Namespace) -> Seen:
    target = load_target(arguments.target)
    with progress_bar() as bar:
        task = bar.add_task("looking for the target", total=None)
        return find_in_folder(target, arguments.images, lambda done, of: bar.update(task, completed=done, total=of))
