"""Rigid poses as 4x4 matrices: `T_a_b` is the pose of frame b in frame a, p_a = T_a_b p_b. Metres and radians."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Pose = NDArray[np.float64]


def make_pose(rotation: ArrayLike | None = None, translation: ArrayLike = (0.0, 0.0, 0.0)) -> Pose:
    """A 4x4 float64 pose from a 3x3 rotation (identity when None) and a translation in metres."""
    pose = np.eye(4)
    if rotation is not None:
        pose[:3, :3] = rotation
    pose[:3, 3] = translation
    return pose


def inverse(pose: Pose) -> Pose:
    """The inverse of a rigid pose, exact for an orthonormal rotation."""
    result = np.eye(4)
    result[:3, :3] = pose[:3, :3].T
    result[:3, 3] = -pose[:3, :3].T @ pose[:3, 3]
    return result


def transform(pose: Pose, points: ArrayLike) -> NDArray[np.float64]:
    """Points (n, 3) of frame b in frame a, for pose T_a_b."""
    return np.asarray(points, float) @ pose[:3, :3].T + pose[:3, 3]


def rotation_from_vector(vector: ArrayLike) -> NDArray[np.float64]:
    """The rotations (..., 3, 3) of rotation vectors (..., 3), axis times angle, radians."""
    v = np.asarray(vector, float)
    angle = np.linalg.norm(v, axis=-1)[..., None, None] / np.pi
    cross = np.zeros((*v.shape, 3))
    cross[..., 2, 1], cross[..., 0, 2], cross[..., 1, 0] = np.moveaxis(v, -1, 0)
    cross -= np.swapaxes(cross, -1, -2)
    # Rodrigues: sin(a) / a and (1 - cos(a)) / a^2, without a branch at 0.
    return np.asarray(np.eye(3) + np.sinc(angle) * cross + 0.5 * np.sinc(angle / 2) ** 2 * (cross @ cross))


def turns_about(point: ArrayLike, vectors: ArrayLike) -> NDArray[np.float64]:
    """Poses (n, 4, 4) that turn about a point (3,) by rotation vectors (n, 3)."""
    rotations, centre = rotation_from_vector(vectors), np.asarray(point, float)
    poses = np.tile(np.eye(4), (len(rotations), 1, 1))
    poses[:, :3, :3], poses[:, :3, 3] = rotations, centre - rotations @ centre
    return poses


def rotation_angle(rotation: ArrayLike) -> float:
    """The angle of a 3x3 rotation, radians, 0 to pi."""
    r = np.asarray(rotation, float)
    skew = np.array([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]])
    return math.atan2(float(np.linalg.norm(skew)), float(np.trace(r)) - 1.0)


def rotation_from_rpy(roll: float, pitch: float, yaw: float) -> NDArray[np.float64]:
    """Fixed-axis roll, pitch, yaw (radians) as in URDF: Rz(yaw) Ry(pitch) Rx(roll)."""
    return rotation_from_vector((0, 0, yaw)) @ rotation_from_vector((0, pitch, 0)) @ rotation_from_vector((roll, 0, 0))


def rpy_from_rotation(rotation: ArrayLike) -> tuple[float, float, float]:
    """Fixed-axis roll, pitch, yaw (radians) of a 3x3 rotation; pitch within a quarter turn, at its ends roll is 0."""
    r = np.asarray(rotation, float)
    level = math.hypot(r[0, 0], r[1, 0])
    pitch = math.atan2(-r[2, 0], level)
    if level < 1e-9:
        return 0.0, pitch, math.atan2(-r[0, 1], r[1, 1])
    return math.atan2(r[2, 1], r[2, 2]), pitch, math.atan2(r[1, 0], r[0, 0])


def quaternion_from_rotation(rotation: ArrayLike) -> NDArray[np.float64]:
    """The unit quaternion (x, y, z, w), w not negative, of a 3x3 rotation."""
    r = np.asarray(rotation, float)
    # Bar-Itzhack's symmetric matrix: its largest eigenvector is the quaternion, well conditioned at every angle.
    k = np.array(
        [
            [r[0, 0] - r[1, 1] - r[2, 2], r[0, 1] + r[1, 0], r[0, 2] + r[2, 0], r[2, 1] - r[1, 2]],
            [r[0, 1] + r[1, 0], r[1, 1] - r[0, 0] - r[2, 2], r[1, 2] + r[2, 1], r[0, 2] - r[2, 0]],
            [r[0, 2] + r[2, 0], r[1, 2] + r[2, 1], r[2, 2] - r[0, 0] - r[1, 1], r[1, 0] - r[0, 1]],
            [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], np.trace(r)],
        ]
    )
    quaternion = np.linalg.eigh(k)[1][:, 3]
    return -quaternion if quaternion[3] < 0 else quaternion


def rotation_from_quaternion(quaternion: ArrayLike) -> NDArray[np.float64]:
    """The 3x3 rotation of a quaternion (x, y, z, w); it is normalised first.

    Raises:
        ValueError: the quaternion is zero or not finite.
    """
    q = np.asarray(quaternion, float)
    norm = float(np.linalg.norm(q))
    if not np.isfinite(norm) or norm < 1e-9:
        raise ValueError(f"quaternion {q.tolist()} has no direction")
    x, y, z, w = q / norm
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def perturb(pose: Pose, twist: ArrayLike) -> Pose:
    """`pose` moved by a small twist (tx, ty, tz, rx, ry, rz; metres, radians) given in its own frame b."""
    t = np.asarray(twist, float)
    return pose @ make_pose(rotation_from_vector(t[3:]), t[:3])


def twist_between(reference: Pose, pose: Pose) -> NDArray[np.float64]:
    """The twist (6,) by which `perturb` moves one pose to the other; the rotation's log, so of any size up to pi."""
    between = inverse(reference) @ pose
    x, y, z, w = quaternion_from_rotation(between[:3, :3])
    axis = np.array([x, y, z])
    sine = float(np.linalg.norm(axis))
    return np.concatenate([between[:3, 3], axis * (2 * math.atan2(sine, w) / sine if sine > 1e-12 else 2.0)])


def look_at(eye: ArrayLike, target: ArrayLike, down: ArrayLike = (0.0, 0.0, -1.0)) -> Pose:
    """T_w_camera of an optical frame (x right, y down, z forward) at `eye` that looks at `target`.

    `down` is the direction in w that the image's y axis follows as far as it can.
    """
    forward = np.asarray(target, float) - np.asarray(eye, float)
    forward /= np.linalg.norm(forward)
    right = np.cross(np.asarray(down, float), forward)
    if np.linalg.norm(right) < 1e-6:
        right = np.cross((0.0, 1.0, 0.0), forward)
        if np.linalg.norm(right) < 1e-6:
            right = np.cross((1.0, 0.0, 0.0), forward)
    right /= np.linalg.norm(right)
    return make_pose(np.column_stack([right, np.cross(forward, right), forward]), eye)


def is_pose(value: ArrayLike, tolerance: float = 1e-6) -> bool:
    """Whether `value` is a finite 4x4 rigid transform."""
    m = np.asarray(value, float)
    return (
        m.shape == (4, 4)
        and bool(np.all(np.isfinite(m)))
        and bool(np.allclose(m[3], (0, 0, 0, 1), atol=tolerance))
        and bool(np.allclose(m[:3, :3] @ m[:3, :3].T, np.eye(3), atol=tolerance))
        and bool(np.linalg.det(m[:3, :3]) > 0)
    )
