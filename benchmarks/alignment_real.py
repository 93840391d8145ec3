"""Claim: on real pictures the aligner follows a part along a video from one clicked pose, and what it accepts is right.

Each frame's prior is the last accepted pose, with the bound of a normal recipe, 20 mm and 5 deg. The parts move far
less between two frames (column "motion"), so every frame is searched over more than it needs; a tracker's narrower
bound would be easier. Nothing is smoothed or predicted. "Held" counts the frames from the first one on that were
accepted and are not known to be wrong.

Who says what is right:
- the rendered tea-box has true poses: ADD, the mean distance of the CAD's corners from where they truly are;
- the real videos have none. There the print on the part judges, apart from the CAD's edges: the first accepted picture
  is laid onto the CAD, seen from the later estimate, and optical flow says how far each spot of it is from its place in
  the real picture. "Print" is the median distance, and over 3 px the estimate is called wrong; a frame with fewer
  than 20 spots is not judged (another face in view, something before the part, a pose far off). After each 20 deg of
  turning a new picture is taken, with the pose that the spots give, not the aligner. The print cannot tell that the
  first accepted pose was off. On the rendered tea-box both are printed, so that the print's own error is known;
- the stereo pair: the left camera's pose, carried into the right camera by the calibration that comes with the set;
- the bottle: the depth picture, which the aligner does not see here;
- what it gains where it sees it (align_with_depth), on the bottle and the rendered tea-box: alignment_real_depth.py;
- the eye: a contact sheet for each sequence with the CAD's edges over the picture.
A peer is cv2.rapid (OpenCV's contrib modules): it runs from the same first poses where it can be imported.

Run: python benchmarks/alignment_real.py [--quick] [--data FOLDER] [--out FOLDER] [--only WORD]
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
from alignment_real_depth import show_depth
from alignment_real_sets import (
    Frame,
    RealSequence,
    bottle,
    rendered_teabox,
    stereo_T_right_left,
    visp_videos,
)
from common import finish, machine, parser, print_table
from numpy.typing import NDArray

from inspection_cell.alignment.edges import PartEdges
from inspection_cell.alignment.one_view import AlignmentEstimate, align
from inspection_cell.cad.render import GeometryRenderer
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, inverse, make_pose, rotation_angle, rotation_from_vector, transform

ROOT = Path(__file__).resolve().parents[1]
BOUND = (0.02, math.radians(5.0))
WRONG_PX = 3.0
WRONG_ADD_M = 0.002
WRONG_DEPTH_M = 0.005
QUICK_FRAMES = 40
TILES = 12
TILE_PX = 420
LEAST_SPOTS = 20
MOST_SPOTS = 200
FLOW_PX = 0.7
FLOW_WINDOW = (15, 15)
PNP_PX = 2.0
WALL_PX = 7
SAME_SURFACE_M = 0.002
KEY_TURN_RAD = math.radians(20.0)
RAPID_LINES, RAPID_REACH_PX = 200, 20
DEPTH_APART_M = 0.05


@dataclass(frozen=True)
class Key:
    """A picture that shows the print, and where the part is in it.

    Attributes:
        depth: (h, w) float32, metres, of the CAD at this pose; 0 where nothing is.
    """

    grey: NDArray[np.uint8]
    T_camera_part: Pose
    depth: NDArray[np.float32]


@dataclass(frozen=True)
class PrintSeen:
    """Spots of the print in one picture.

    Attributes:
        off_px: median distance of the spots from where the estimate puts them; NaN where fewer than 20 were found.
        points, pixels: (n, 3) in the part frame and (n, 2), where the picture shows them.
    """

    off_px: float = math.nan
    points: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 3)))
    pixels: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2)))


def make_key(image: NDArray[np.uint8], renderer: GeometryRenderer, camera: CameraModel, T_camera_part: Pose) -> Key:
    """Takes a picture as the one that others are compared with."""
    return Key(_grey(image), T_camera_part, renderer.render(T_camera_part, camera).depth)


def print_seen(
    key: Key, image: NDArray[np.uint8], renderer: GeometryRenderer, camera: CameraModel, T_camera_part: Pose
) -> PrintSeen:
    """How far the print is from where an estimate puts it.

    The key's picture is laid onto the CAD and seen from the estimate; optical flow says how far each spot of this
    made-up picture is from the same spot of the real one.
    """
    depth = renderer.render(T_camera_part, camera).depth
    row, column = np.nonzero(depth > 0)
    if len(row) == 0:
        return PrintSeen()
    rays = np.column_stack([column, row, np.ones(len(row))]) @ np.linalg.inv(camera.matrix).T
    points = np.full((*depth.shape, 3), np.nan)
    points[row, column] = transform(inverse(T_camera_part), rays * depth[row, column, None])
    in_key = transform(key.T_camera_part, points[row, column])
    places = np.full((*depth.shape, 2), -1.0, np.float32)
    places[row, column] = np.nan_to_num(camera.project(in_key), nan=-1.0)
    known = cv2.remap(key.depth, places[..., 0], places[..., 1], cv2.INTER_NEAREST, borderValue=0.0)
    shown = np.zeros(depth.shape, np.uint8)
    shown[row, column] = np.abs(known[row, column] - in_key[:, 2]) < SAME_SURFACE_M
    real = _grey(image)
    made = cv2.remap(key.grey, places[..., 0], places[..., 1], cv2.INTER_LINEAR)
    made = np.where(shown > 0, made, real).astype(np.uint8)
    inner = cv2.erode(shown, np.ones((2 * WALL_PX + 1,) * 2, np.uint8))
    corners = cv2.goodFeaturesToTrack(made, MOST_SPOTS, 0.02, 5, mask=inner)
    if corners is None or len(corners) < LEAST_SPOTS:
        return PrintSeen()
    spots = corners.reshape(-1, 2)
    moved, kept, _ = cv2.calcOpticalFlowPyrLK(made, real, spots, None, winSize=FLOW_WINDOW)
    back, kept_back, _ = cv2.calcOpticalFlowPyrLK(real, made, moved, None, winSize=FLOW_WINDOW)
    sure = (kept.ravel() > 0) & (kept_back.ravel() > 0) & (np.linalg.norm(back - spots, axis=1) < FLOW_PX)
    if np.count_nonzero(sure) < LEAST_SPOTS:
        return PrintSeen()
    off = (moved - spots)[sure].astype(float)
    at = np.rint(spots[sure]).astype(int)
    return PrintSeen(float(np.median(np.linalg.norm(off, axis=1))), points[at[:, 1], at[:, 0]], at + off)


def pose_from_print(seen: PrintSeen, camera: CameraModel, near: Pose) -> Pose | None:
    """The pose that the spots give by themselves; None where they do not agree on one."""
    rotation, translation = cv2.Rodrigues(near[:3, :3])[0], near[:3, 3].reshape(3, 1).copy()
    k, d = camera.matrix, camera.distortion
    cv2.setRNGSeed(0)
    done, rotation, translation, inliers = cv2.solvePnPRansac(
        seen.points, seen.pixels, k, d, rotation, translation, True, 200, PNP_PX, 0.999
    )
    if not done or inliers is None or len(inliers) < LEAST_SPOTS:
        return None
    chosen = inliers.ravel()
    rotation, translation = cv2.solvePnPRefineLM(seen.points[chosen], seen.pixels[chosen], k, d, rotation, translation)
    return make_pose(rotation_from_vector(rotation.ravel()), translation.ravel())


def _grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


@dataclass
class Followed:
    """What became of one sequence; one entry for each frame.

    Attributes:
        seconds: on the clock, and of the processor.
        keys: the picture that each frame's print was compared with.
        print_px: NaN where the print does not judge.
        errors: of the sequences with true poses, ADD (m), translation of the part's centre (m), rotation (rad).
        depth_m: median of measured minus the estimate's depth, of the sequences with a depth camera.
    """

    poses: list[Pose] = field(default_factory=list)
    accepted: list[bool] = field(default_factory=list)
    seconds: list[tuple[float, float]] = field(default_factory=list)
    keys: list[Key | None] = field(default_factory=list)
    print_px: list[float] = field(default_factory=list)
    errors: list[tuple[float, float, float]] = field(default_factory=list)
    depth_m: list[float] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    def off(self) -> NDArray[np.float64]:
        """(n,) how far off each frame's pose is, 1 at the limit: by true poses, else by the print or by depth."""
        if self.errors:
            return np.array(self.errors)[:, 0] / WRONG_ADD_M
        by_print = np.array(self.print_px) / WRONG_PX
        by_depth = np.abs(self.depth_m) / WRONG_DEPTH_M if self.depth_m else np.full(len(by_print), np.nan)
        return np.asarray(np.fmax(by_print, by_depth), float)

    def counts(self) -> tuple[int, int, int, int]:
        """Frames accepted, held, accepted and right, accepted and wrong."""
        accepted, off = np.array(self.accepted), self.off()
        lost = ~accepted | (off > 1.0)
        held = int(np.argmax(lost)) if lost.any() else len(lost)
        return int(accepted.sum()), held, int((accepted & (off <= 1.0)).sum()), int((accepted & (off > 1.0)).sum())


Estimator = Callable[[Frame, Pose], tuple[Pose, bool, AlignmentEstimate | None]]
"""From a picture and a prior: the pose, whether it is accepted, and what there is to show."""


def follow(
    sequence: RealSequence,
    renderer: GeometryRenderer,
    estimator: Estimator,
    frames: int,
    sheet: Path | None = None,
    keys: Sequence[Key | None] | None = None,
) -> Followed:
    """Follows the part from its first pose.

    Args:
        sheet: where to write the contact sheet; None writes none.
        keys: for each frame, the picture to judge the print by; None takes them on the way.
    """
    corners = np.vstack([c.vertices for c in sequence.assembly.components])
    centre, camera = sequence.assembly.centre[None], sequence.camera
    result, prior, key = Followed(), sequence.T_camera_part_first, None
    tiles: list[NDArray[np.uint8]] = []
    for number, frame in enumerate(sequence.read()):
        if number >= frames:
            break
        start, start_cpu = time.perf_counter(), time.process_time()
        pose, accepted, estimate = estimator(frame, prior)
        result.seconds.append((time.perf_counter() - start, time.process_time() - start_cpu))
        result.poses.append(pose)
        result.accepted.append(accepted)
        prior = pose if accepted else prior
        if estimate is not None and not accepted:
            result.reasons[_kind(estimate.reason)] += 1
        if keys is not None:
            key = keys[number]
        seen = PrintSeen() if key is None else print_seen(key, frame.image, renderer, camera, pose)
        result.keys.append(key)
        result.print_px.append(seen.off_px)
        if keys is None and accepted:
            key = _next_key(key, seen, frame.image, renderer, camera, pose)
        if frame.T_camera_part is not None:
            truth = frame.T_camera_part
            add = float(np.linalg.norm(transform(pose, corners) - transform(truth, corners), axis=1).mean())
            shift = float(np.linalg.norm(transform(pose, centre) - transform(truth, centre)))
            result.errors.append((add, shift, rotation_angle(truth[:3, :3].T @ pose[:3, :3])))
        if frame.depth is not None:
            result.depth_m.append(_depth_off(sequence, renderer, frame.depth, pose))
        if sheet is not None and estimate is not None and number % max(1, frames // TILES) == 0 and len(tiles) < TILES:
            tiles.append(_tile(frame.image, estimate, f"{number}: {seen.off_px:.1f} px"))
    if sheet is not None and tiles:
        _write_sheet(sheet, tiles)
    return result


def _next_key(
    key: Key | None,
    seen: PrintSeen,
    image: NDArray[np.uint8],
    renderer: GeometryRenderer,
    camera: CameraModel,
    T_camera_part: Pose,
) -> Key | None:
    """The first accepted picture; another one when the part has turned and the print confirms the pose."""
    if key is None:
        return make_key(image, renderer, camera, T_camera_part)
    turned = rotation_angle(key.T_camera_part[:3, :3].T @ T_camera_part[:3, :3])
    if turned < KEY_TURN_RAD or not seen.off_px < WRONG_PX:
        return key
    of_print = pose_from_print(seen, camera, T_camera_part)
    return key if of_print is None else make_key(image, renderer, camera, of_print)


def _kind(reason: str) -> str:
    """A refusal without its figures, to count equal ones."""
    kinds = {
        "were found": "too few edges found",
        "edges lie within": "too few edges near",
        "line up": "edges do not line up",
        "another pose": "another pose fits as well",
        "bound": "beyond the prior's bound",
        "do not fix": "the edges do not fix the pose",
    }
    return next((kind for words, kind in kinds.items() if words in reason), reason)


def _depth_off(
    sequence: RealSequence, renderer: GeometryRenderer, depth: NDArray[np.float32], T_camera_part: Pose
) -> float:
    """Median over the part of measured minus expected depth, metres; what is far behind it is something else."""
    assert sequence.depth_camera is not None and sequence.T_camera_depth is not None
    expected = renderer.render(inverse(sequence.T_camera_depth) @ T_camera_part, sequence.depth_camera).depth
    off = (depth - expected)[(depth > 0) & (expected > 0)]
    near = off[np.abs(off) < DEPTH_APART_M]
    return float(np.median(near)) if len(near) else math.nan


def _tile(image: NDArray[np.uint8], estimate: AlignmentEstimate, text: str) -> NDArray[np.uint8]:
    """The picture around the part, enlarged, with the CAD's edges as single dots: green accepted, red refused."""
    shape = np.array(image.shape[1::-1])
    low, high = (estimate.edges.min(axis=0), estimate.edges.max(axis=0)) if len(estimate.edges) else (shape * 0, shape)
    side = int(min(float(np.max(high - low)) + 40, float(shape.min())))
    corner = np.clip((low + high - side) / 2, 0, shape - side).astype(int)
    crop = image[corner[1] : corner[1] + side, corner[0] : corner[0] + side]
    tile = np.ascontiguousarray(cv2.resize(crop, (TILE_PX, TILE_PX), interpolation=cv2.INTER_CUBIC))
    colour = (0, 255, 0) if estimate.accepted else (255, 40, 40)
    places = np.rint((estimate.edges - corner + 0.5) * TILE_PX / side - 0.5).astype(int)
    places = places[np.all((places >= 0) & (places < TILE_PX), axis=1)]
    tile[places[:, 1], places[:, 0]] = colour
    cv2.putText(tile, text, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)
    return np.asarray(tile, np.uint8)


def _write_sheet(path: Path, tiles: list[NDArray[np.uint8]]) -> None:
    columns = min(4, len(tiles))
    tiles = tiles + [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.ascontiguousarray(np.vstack(rows)[..., ::-1]))


def aligner(sequence: RealSequence) -> Estimator:
    """The product's aligner."""
    part = PartEdges(sequence.assembly)

    def estimate(frame: Frame, prior: Pose) -> tuple[Pose, bool, AlignmentEstimate | None]:
        found = align(frame.image, sequence.camera, part, prior, BOUND)
        return found.T_camera_part, found.accepted, found

    return estimate


def rapid_peer(sequence: RealSequence) -> Estimator | None:
    """OpenCV's silhouette tracker with its best search; it refuses nothing. None where it is not installed."""
    rapid = getattr(cv2, "rapid", None)
    if rapid is None:
        return None
    offsets = np.cumsum([0, *(len(c.vertices) for c in sequence.assembly.components)])
    vertices = np.vstack([c.vertices for c in sequence.assembly.components]).astype(np.float32)
    parts = zip(sequence.assembly.components, offsets[:-1], strict=True)
    faces = np.vstack([c.faces + offset for c, offset in parts]).astype(np.int32)
    tracker = rapid.GOSTracker_create(vertices, faces)
    stop = (cv2.TERM_CRITERIA_MAX_ITER | cv2.TERM_CRITERIA_EPS, 20, 0.5)

    def estimate(frame: Frame, prior: Pose) -> tuple[Pose, bool, AlignmentEstimate | None]:
        rotation, translation = cv2.Rodrigues(prior[:3, :3])[0], prior[:3, 3].reshape(3, 1).copy()
        try:
            _, rotation, translation = tracker.compute(
                frame.image, RAPID_LINES, RAPID_REACH_PX, sequence.camera.matrix, rotation, translation, stop
            )
        except cv2.error:  # it has no other way to say that it lost the part
            return prior, False, None
        return make_pose(rotation_from_vector(rotation.ravel()), translation.ravel()), True, None

    return estimate


def _motion(result: Followed, centre: NDArray[np.float64]) -> str:
    """95th percentile of the motion between two frames that follow each other, both accepted."""
    moved, turned = [], []
    both = zip(result.poses, result.poses[1:], result.accepted, result.accepted[1:], strict=False)
    for before, after, ok, ok_after in both:
        if ok and ok_after:
            moved.append(float(np.linalg.norm(transform(after, centre[None]) - transform(before, centre[None]))))
            turned.append(rotation_angle(before[:3, :3].T @ after[:3, :3]))
    if not moved:
        return "-"
    return f"{np.percentile(moved, 95) * 1e3:.1f} mm {math.degrees(np.percentile(turned, 95)):.1f} deg"


def _two(values: Sequence[float] | NDArray[np.float64], scale: float = 1.0) -> str:
    """Median / p95 of what is a number."""
    known = np.asarray(values, float)
    known = known[np.isfinite(known)] * scale
    return f"{np.median(known):.2f} / {np.percentile(known, 95):.2f}" if len(known) else "-"


def _counts(name: str, result: Followed, centre: NDArray[np.float64]) -> list[object]:
    off = np.array(result.print_px)[np.array(result.accepted)]
    clock, cpu = np.median(result.seconds, axis=0) * 1e3
    return [name, len(result.poses), *result.counts(), _two(off), _motion(result, centre), f"{clock:.0f} / {cpu:.0f}"]


def _against_truth(name: str, result: Followed) -> list[object]:
    errors = np.array(result.errors)[np.array(result.accepted)].reshape(-1, 3)
    return [name, len(errors), _two(errors[:, 0], 1e3), _two(errors[:, 1], 1e3), _two(np.degrees(errors[:, 2]))]


def _print_stereo(data: Path, sequences: list[RealSequence], followed: dict[str, Followed]) -> None:
    """How far the left camera's pose, carried into the right camera, is from the right one's own."""
    left, right = (followed.get(f"tea-box, stereo {side}") for side in ("left", "right"))
    if left is None or right is None:
        return
    T_right_left = stereo_T_right_left(data)
    sequence = next(s for s in sequences if s.name == "tea-box, stereo right")
    corners = np.vstack([c.vertices for c in sequence.assembly.components])
    apart_m, apart_px = [], []
    for ok_l, ok_r, T_left, T_right in zip(left.accepted, right.accepted, left.poses, right.poses, strict=False):
        if ok_l and ok_r:
            by_left, by_right = transform(T_right_left @ T_left, corners), transform(T_right, corners)
            apart_m.append(float(np.linalg.norm(by_left - by_right, axis=1).mean()))
            pixels = sequence.camera.project(by_left) - sequence.camera.project(by_right)
            apart_px.append(float(np.linalg.norm(pixels, axis=1).mean()))
    print(
        f"Stereo pair, left pose in the right camera against the right pose, {len(apart_m)} frames, median / p95: "
        f"{_two(apart_m, 1e3)} mm, {_two(apart_px)} px at the corners"
    )


def main() -> int:
    """Prints the tables; 0 where the claim holds."""
    given = parser(__doc__, f"the first {QUICK_FRAMES} frames of each sequence")
    given.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="where the real sets are")
    given.add_argument("--out", type=Path, default=Path("alignment_real"), help="where the contact sheets go")
    given.add_argument("--only", default="", help="only sequences with this in their name")
    arguments = given.parse_args()
    lacking = [name for name in ("visp_tutorial", "bottle_rgbd") if not (arguments.data / name).is_dir()]
    if lacking:
        print(f"SHORT: not measured, {arguments.data} lacks {', '.join(lacking)}")
        return 1
    print(machine())
    cv2.setNumThreads(1)
    sequences = [rendered_teabox(arguments.data), *visp_videos(arguments.data), bottle(arguments.data)]
    sequences = [s for s in sequences if arguments.only in s.name]
    followed: dict[str, Followed] = {}
    rows: list[list[object]] = []
    peers: list[list[object]] = []
    truths: list[list[object]] = []
    refusals: list[str] = []
    for sequence in sequences:
        length = sum(1 for _ in sequence.read())
        length = min(QUICK_FRAMES, length) if arguments.quick else length
        name, centre = sequence.name, sequence.assembly.centre
        with GeometryRenderer(sequence.assembly) as renderer:
            sheet = arguments.out / f"{name.replace(', ', '-').replace(' ', '-')}.png"
            result = follow(sequence, renderer, aligner(sequence), length, sheet)
            rows.append(_counts(name, result, centre))
            truths += [_against_truth(name, result)] if result.errors else []
            refusals += [f"  {name}: {n} x {reason}" for reason, n in result.reasons.most_common()]
            peer = rapid_peer(sequence)
            if peer is not None:
                of_peer = follow(sequence, renderer, peer, length, keys=result.keys)
                peers.append(_counts(f"{name}, rapid", of_peer, centre))
                truths += [_against_truth(f"{name}, rapid", of_peer)] if of_peer.errors else []
        result.keys.clear()
        followed[name] = result
    columns = ["sequence", "frames", "accepted", "held", "right", "wrong", "print px", "motion p95", "ms / CPU ms"]
    print_table("Right, wrong, print: of the accepted frames; median / p95", columns, [*rows, *peers])
    if truths:
        print_table("Against true poses, accepted", ["sequence", "frames", "ADD mm", "shift mm", "turn deg"], truths)
    print("\n".join(["Refused:", *refusals]) if refusals else "Nothing was refused.")
    _print_stereo(arguments.data, sequences, followed)
    right_by_depth = True
    for sequence in (s for s in sequences if s.depth_camera is not None):
        sheet = arguments.out / f"{sequence.name.split(',')[0]}-depth.png"
        right_by_depth &= show_depth(sequence, BOUND, QUICK_FRAMES, sheet)
    for name, result in followed.items():
        if result.depth_m:
            print(f"{name}, measured minus estimated depth, median / p95: {_two(result.depth_m, 1e3)} mm")
    if not peers:
        print("Peer not measured: this OpenCV has no rapid module (opencv-contrib-python-headless has it).")
    print(f"Contact sheets: {arguments.out}")
    counts = np.array([r.counts() for r in followed.values()]).sum(axis=0)
    total = sum(len(r.poses) for r in followed.values())
    return finish(
        int(counts[3]) == 0 and right_by_depth,
        f"{counts[0]} of {total} frames accepted, {counts[2]} known right, {counts[3]} known wrong",
    )


if __name__ == "__main__":
    sys.exit(main())
