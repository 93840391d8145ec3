"""How far an estimated pose is from the true one: the errors that pose estimation is judged by, as BOP defines them.

With model points x, the estimate's pose E and the true pose G, both T_camera_part:

    ADD    mean over x of |E x - G x|                                           [1]
    ADD-S  mean over x of the distance from G x to the nearest of all E x'      [1], ADI in [2]
    MSSD   least over symmetries S of the greatest over x of |E x - G S x|      [3]
    MSPD   the same of the projections, in pixels                               [3]
    VSD    fraction of the visible surface that is not where it should be       [2], as changed in [3]
    projection error  mean over x of the distance of the projections, pixels    [4]
    rotation and translation error                                              [2]

Sources:
[1] Hinterstoisser et al., "Model Based Training, Detection and Pose Estimation of Texture-Less 3D Objects in Heavily
    Cluttered Scenes", ACCV 2012.
[2] Hodan, Matas, Obdrzalek, "On Evaluation of 6D Object Pose Estimation", ECCV Workshops 2016.
[3] Hodan et al., "BOP Challenge 2020 on 6D Object Localization", ECCV Workshops 2020.
[4] Brachmann et al., "Uncertainty-Driven 6D Pose Estimation of Objects and Scenes from a Single RGB Image", CVPR 2016.

Metres, radians and pixels; bop_toolkit has the same definitions, but gives the rotation error in degrees. Every
function raises ValueError for a pose that is not a finite rigid 4x4 one, and for points that are not (n, 3), finite, at
least one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, make_pose, rotation_angle, rotation_from_vector

Floats = NDArray[np.float64]

THRESHOLDS = tuple(np.arange(0.05, 0.51, 0.05).tolist())
"""BOP's limits: VSD's taus and MSSD's thresholds, both in diameters, and VSD's thresholds."""
MSPD_THRESHOLDS_PX = tuple(np.arange(5.0, 51.0, 5.0).tolist())
"""BOP's limits for MSPD in an image 640 pixels wide: scale the errors by 640 / width."""
VSD_DELTA = 0.015
"""Metres, BOP's in most of its data sets (0.005 in ITODD)."""
_RIGID = 1e-3
"""Lets the rounded poses of files and of float32 pass, and stops a transposed or scaled one."""
Chosen = slice | NDArray[np.int64]
"""Which points."""


def add(T_estimate: ArrayLike, T_truth: ArrayLike, points: ArrayLike) -> float:
    """Average distance of model points, metres; for a part without indistinguishable views [1].

    Args:
        T_estimate, T_truth: (4, 4), T_camera_part.
        points: (n, 3), metres, part frame.
    """
    estimate, truth = _pose("T_estimate", T_estimate), _pose("T_truth", T_truth)
    return float(_distances(estimate, truth[None], _points(points)).mean())


def add_s(T_estimate: ArrayLike, T_truth: ArrayLike, points: ArrayLike) -> float:
    """Average distance to the nearest model point, metres; for a part with indistinguishable views [1].

    Arguments as in `add`.
    """
    estimate, truth, x = _pose("T_estimate", T_estimate), _pose("T_truth", T_truth), _points(points)
    return float(cKDTree(_placed(estimate, x)).query(_placed(truth, x))[0].mean())


def mssd(T_estimate: ArrayLike, T_truth: ArrayLike, points: ArrayLike, symmetries: ArrayLike | None = None) -> float:
    """Maximum symmetry-aware surface distance, metres [3].

    Args:
        T_estimate, T_truth, points: as in `add`.
        symmetries: (k, 4, 4), T_part_part, as of `symmetry_transforms`; None for the identity alone. As in BOP the
            identity counts only where it is among them.
    """
    estimate, truth, x = _pose("T_estimate", T_estimate), _pose("T_truth", T_truth), _points(points)

    def distances(symmetries: Floats, chosen: Chosen) -> Floats:
        return _distances(estimate, truth @ symmetries, x[:, chosen])

    return _least_greatest(distances, _symmetries(symmetries))


def mspd(
    T_estimate: ArrayLike,
    T_truth: ArrayLike,
    points: ArrayLike,
    camera: CameraModel,
    symmetries: ArrayLike | None = None,
) -> float:
    """Maximum symmetry-aware projection distance, pixels [3].

    It is infinite where the estimate puts a point of the part behind the camera. The camera's distortion counts; BOP's
    images have none. Arguments as in `mssd`.

    Raises:
        ValueError: also where the true pose puts points behind the camera.
    """
    estimate, truth, x = _pose("T_estimate", T_estimate), _pose("T_truth", T_truth), _points(points)
    found = camera.project(_placed(estimate, x))
    _true_pixels(truth, x, camera)

    def distances(symmetries: Floats, chosen: Chosen) -> Floats:
        there = _placed(truth @ symmetries, x[:, chosen])
        return _apart_px(found[chosen], camera.project(there).reshape(*there.shape[:-1], 2))

    return _least_greatest(distances, _symmetries(symmetries))


def projection_error(T_estimate: ArrayLike, T_truth: ArrayLike, points: ArrayLike, camera: CameraModel) -> float:
    """Average distance of the points' projections, pixels [4].

    Arguments, distortion, points behind the camera and errors as in `mspd`.
    """
    estimate, truth, x = _pose("T_estimate", T_estimate), _pose("T_truth", T_truth), _points(points)
    return float(_apart_px(camera.project(_placed(estimate, x)), _true_pixels(truth, x, camera)).mean())


def vsd(
    depth_estimate: ArrayLike,
    depth_truth: ArrayLike,
    depth_measured: ArrayLike,
    camera: CameraModel,
    diameter: float,
    delta: float = VSD_DELTA,
    taus: Sequence[float] = THRESHOLDS,
) -> Floats:
    """Visible surface discrepancy, 0 to 1, for each tau [2], with the step cost of [3].

    Distances are from the camera's centre, not along its axis. A pixel of the model is visible where its distance is at
    most `delta` beyond the measured one, or nothing was measured; a pixel of the estimate also where the true model is
    visible. With the visible masks V of both, e is the mean over the union of V of: 0 where both are visible and their
    distances differ by less than tau diameters, else 1. It is 1 where neither model is visible.

    Visibility is decided with distances rounded to float32, as bop_toolkit does: a pixel within some 1e-7 of `delta`
    would otherwise fall on the other side, and there it depends on the unit too.

    Args:
        depth_estimate, depth_truth: (h, w), metres along the optical axis, the part alone rendered in either pose; 0
            where it is not.
        depth_measured: (h, w), metres; 0 where nothing was measured.
        diameter: of the part, metres; with 1, the taus are metres.

    Raises:
        ValueError: an image of another size than the camera's, negative or not finite; a camera with distortion; a
            diameter, delta or tau that is not positive.
    """
    if np.any(camera.distortion):
        raise ValueError("vsd: the camera has distortion; undistort the depth images and give the pinhole camera")
    if not (0 < diameter < math.inf and 0 < delta < math.inf and len(taus) and all(tau > 0 for tau in taus)):
        raise ValueError(f"vsd: diameter {diameter}, delta {delta}, taus {taus}: must be positive")
    images = [
        _depth(name, image, camera)
        for name, image in [("estimate", depth_estimate), ("truth", depth_truth), ("measured", depth_measured)]
    ]
    either = np.flatnonzero((images[0] > 0) | (images[1] > 0))
    row, column = np.divmod(either, camera.width)
    k = camera.matrix
    y = (row - k[1, 2]) / k[1, 1]
    x = (column - k[0, 2] - k[0, 1] * y) / k[0, 0]
    ray = np.sqrt(x * x + y * y + 1)
    estimate, truth, measured = (image.ravel()[either] * ray for image in images)

    def visible(model: Floats) -> NDArray[np.bool_]:
        beyond = model.astype(np.float32) - measured.astype(np.float32)
        return (model > 0) & ((beyond <= float(delta)) | (measured == 0))

    true_visible = visible(truth)
    found_visible = visible(estimate) | (true_visible & (estimate > 0))
    both = true_visible & found_visible
    union = int(np.count_nonzero(true_visible | found_visible))
    if union == 0:
        return np.ones(len(taus))
    apart = np.abs(truth[both] - estimate[both]) / diameter
    wrong = np.array([np.count_nonzero(apart >= tau) for tau in taus])
    return (wrong + union - np.count_nonzero(both)) / union


def rotation_error(T_estimate: ArrayLike, T_truth: ArrayLike) -> float:
    """Angle of the rotation between both, radians, 0 to pi [2].

    It is exact for small angles too, where the arc cosine of the trace, as in [2], is off by some 1e-8.
    """
    return rotation_angle(_pose("T_estimate", T_estimate)[:3, :3] @ _pose("T_truth", T_truth)[:3, :3].T)


def translation_error(T_estimate: ArrayLike, T_truth: ArrayLike) -> float:
    """Distance of the part frame's origins, metres [2]."""
    return float(np.linalg.norm(_pose("T_estimate", T_estimate)[:3, 3] - _pose("T_truth", T_truth)[:3, 3]))


def average_recall(errors: ArrayLike, thresholds: Sequence[float]) -> float:
    """BOP's AR of one error: how many parts are correct (error below the threshold), averaged over the thresholds [3].

    AR of a method is the mean of three: VSD's errors against THRESHOLDS, MSSD's in diameters against THRESHOLDS, MSPD's
    times 640 / image width against MSPD_THRESHOLDS_PX.

    Args:
        errors: one a part, (n,), or one a part and tau, (n, taus); infinite or NaN for a part that was not found.
    """
    e = np.asarray(errors, float)
    if e.size == 0 or len(thresholds) == 0:
        raise ValueError("average_recall: no errors or no thresholds")
    return float(np.mean([np.mean(e < threshold) for threshold in thresholds]))


def symmetry_transforms(
    discrete: ArrayLike | None = None,
    axes: Sequence[tuple[ArrayLike, ArrayLike]] = (),
    largest_step: float = 0.01,
) -> Floats:
    """The identity and every symmetry, a continuous one in steps: (k, 4, 4), T_part_part [3].

    An axis is turned in ceil(pi / largest_step) steps, and each turn follows each discrete symmetry. Turns about
    different axes are not combined with each other, as in BOP.

    Args:
        discrete: (m, 4, 4), T_part_part, without the identity.
        axes: of continuous symmetry, each its direction (3,) and a point on it (3,), metres.
        largest_step: how far a point of the part may move in one step, in diameters.

    Raises:
        ValueError: a discrete symmetry that is not rigid, an axis without direction, a step not above 0 and up to 1.
    """
    fixed = np.eye(4)[None]
    if discrete is not None and np.size(discrete):
        fixed = np.concatenate([fixed, _symmetries(discrete)])
    if not 0 < largest_step <= 1:
        raise ValueError(f"largest_step {largest_step}: must be above 0 and at most 1 diameter")
    steps = math.ceil(math.pi / largest_step)
    turns = []
    for index, (direction, point) in enumerate(axes):
        d, p = np.asarray(direction, float), np.asarray(point, float)
        if d.shape != (3,) or p.shape != (3,) or not np.all(np.isfinite([d, p])) or not np.any(d):
            raise ValueError(f"axes[{index}]: needs a direction, not zero, and a point, three finite numbers each")
        for angle in np.arange(steps) * (2 * math.pi / steps):
            rotation = rotation_from_vector(d / np.linalg.norm(d) * angle)
            turns.append(make_pose(rotation, p - rotation @ p))
    if not turns:
        return fixed
    return (np.array(turns)[None] @ fixed[:, None]).reshape(-1, 4, 4)


def _least_greatest(distances: Callable[[Floats, Chosen], Floats], symmetries: Floats) -> float:
    """The least, over the symmetries, of the greatest distance over all points.

    Only the symmetry that looks best is tried with all points. Its farthest point then bounds the others from below,
    and after a few such points hardly any is left to try.

    Args:
        distances: (k, m) of symmetries (k, 4, 4) and m chosen points.
    """
    least, floors = math.inf, np.zeros(len(symmetries))
    while floors.min() < least:
        best = int(floors.argmin())
        apart = distances(symmetries[best : best + 1], slice(None))[0]
        farthest = apart.argmax()
        least = min(least, float(apart[farthest]))
        floors = np.maximum(floors, distances(symmetries, np.array([farthest]))[:, 0])
        floors[best] = math.inf
    return least


def _distances(estimate: Pose, truths: Floats, points: Floats) -> Floats:
    """(k, n) of |E x - G x| for k poses G and points (3, n)."""
    apart = (estimate[:3, :3] - truths[:, :3, :3]) @ points + (estimate[:3, 3:] - truths[:, :3, 3:])
    return np.sqrt(np.einsum("kin,kin->kn", apart, apart))


def _placed(pose: Pose, points: Floats) -> Floats:
    """Points (3, n) of the part in the camera frame, (n, 3), for a pose; (k, n, 3) for k poses."""
    return np.swapaxes(pose[..., :3, :3] @ points + pose[..., :3, 3:], -1, -2)


def _true_pixels(truth: Pose, points: Floats, camera: CameraModel) -> Floats:
    pixels = camera.project(_placed(truth, points))
    if np.any(np.isnan(pixels)):
        raise ValueError("T_truth: it puts points of the part behind the camera; is it T_camera_part?")
    return pixels


def _apart_px(found: Floats, true: Floats) -> Floats:
    """Of pixels (..., 2); infinite where a point has no projection."""
    apart = np.hypot(found[..., 0] - true[..., 0], found[..., 1] - true[..., 1])
    return np.where(np.isnan(apart), math.inf, apart)


def _pose(name: str, value: ArrayLike) -> Pose:
    pose = np.asarray(value, float)
    if pose.shape != (4, 4):
        raise ValueError(f"{name}: shape {pose.shape}, a pose is 4x4")
    _check_rigid(name, pose[None])
    return pose


def _symmetries(value: ArrayLike | None) -> Floats:
    if value is None:
        return np.eye(4)[None]
    poses = np.asarray(value, float)
    if poses.ndim != 3 or poses.shape[1:] != (4, 4) or len(poses) == 0:
        raise ValueError(f"symmetries: shape {poses.shape}, needs (k, 4, 4) with at least one")
    _check_rigid("symmetries", poses)
    return poses


def _check_rigid(name: str, poses: Floats) -> None:
    """Of (k, 4, 4)."""
    if not np.all(np.isfinite(poses)):
        raise ValueError(f"{name}: not finite")
    rotations = poses[:, :3, :3]
    off = np.abs(rotations @ rotations.swapaxes(1, 2) - np.eye(3)).max()
    if off > _RIGID or np.any(poses[:, 3] != (0, 0, 0, 1)) or np.linalg.det(rotations).min() < 0:
        raise ValueError(f"{name}: not a rigid pose; needs a rotation, a translation and the last row 0 0 0 1")


def _points(value: ArrayLike) -> Floats:
    """(3, n): a point a column is several times faster to turn."""
    points = np.asarray(value, float)
    if points.ndim != 2 or points.shape[1] != 3 or len(points) == 0:
        raise ValueError(f"points: shape {points.shape}, needs (n, 3) with at least one point")
    if not np.all(np.isfinite(points)):
        raise ValueError("points: not finite")
    return np.ascontiguousarray(points.T)


def _depth(name: str, value: ArrayLike, camera: CameraModel) -> NDArray[np.floating]:
    image = np.asarray(value)
    if image.shape != (camera.height, camera.width):
        raise ValueError(f"depth_{name}: shape {image.shape}, the camera's images are {(camera.height, camera.width)}")
    if not np.all(np.isfinite(image)) or np.any(image < 0):
        raise ValueError(f"depth_{name}: holds values that are negative or not finite; missing depth is 0")
    return image
