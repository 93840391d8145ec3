"""From a path to a timed trajectory within velocity and acceleration limits (toppra)."""

from __future__ import annotations

import itertools
import logging

import numpy as np
import toppra
import toppra.algorithm
import toppra.constraint
from numpy.typing import NDArray

from inspection_cell.motion.planner import Joints, Robot, Trajectory

SAMPLE_S = 0.02
TOLERANCE = 0.01  # toppra holds the limits at its grid points; between them samples may exceed them by so much

logging.getLogger("toppra").setLevel(logging.ERROR)


def densify(path: NDArray[np.float64], spacing: float) -> NDArray[np.float64]:
    """The polyline (m, n) with points added so that neighbours are at most `spacing` radians apart; no point twice."""
    points = [path[0]]
    for a, b in itertools.pairwise(path):
        length = float(np.linalg.norm(b - a))
        if length > 1e-9:
            steps = max(1, int(np.ceil(length / spacing)))
            points += [a + (b - a) * k / steps for k in range(1, steps + 1)]
    return np.array(points)


def time_path(path: NDArray[np.float64], robot: Robot, speed: float, acceleration: float) -> Trajectory | None:
    """The fastest motion along the cubic spline through `path` (m, n), from rest to rest, or None where toppra fails.

    `speed` and `acceleration` are fractions of the robot's limits.

    Source: H. Pham, Q.-C. Pham, "A New Approach to Time-Optimal Path Parameterization Based on Reachability
    Analysis", 2018 (TOPP-RA), as the library implements it.
    """
    length = np.r_[0.0, np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))]
    if len(path) < 2 or length[-1] < 1e-9:
        return None
    # A natural end keeps the spline from swinging out; two points are a straight line.
    spline = toppra.SplineInterpolator(length, path, bc_type="natural" if len(path) > 2 else "not-a-knot")
    velocity, accel = robot.velocity * speed, robot.acceleration * acceleration
    solver = toppra.algorithm.TOPPRA(
        [
            toppra.constraint.JointVelocityConstraint(np.column_stack([-velocity, velocity])),
            toppra.constraint.JointAccelerationConstraint(np.column_stack([-accel, accel])),
        ],
        spline,
        gridpoints=np.linspace(0, length[-1], max(100, 4 * len(path))),
        parametrizer="ParametrizeConstAccel",
    )
    timed = solver.compute_trajectory(0, 0)
    if timed is None:
        return None
    duration = float(timed.duration)
    t = np.linspace(0.0, duration, max(2, int(np.ceil(duration / SAMPLE_S))) + 1)
    q, qd, qdd = timed(t), timed(t, 1), timed(t, 2)
    q[0], q[-1] = path[0], path[-1]
    qd[0] = qd[-1] = 0.0
    return stretched(Trajectory(robot.names, t, q, qd, qdd), velocity, accel)


def stretched(trajectory: Trajectory, velocity: Joints, acceleration: Joints) -> Trajectory:
    """The trajectory, slowed evenly by as little as its samples need to hold the limits (n,)."""
    over_velocity = float(np.max(np.abs(trajectory.qd) / velocity))
    over_acceleration = float(np.max(np.abs(trajectory.qdd) / acceleration))
    factor = max(1.0, over_velocity, over_acceleration**0.5)
    return Trajectory(
        trajectory.names,
        trajectory.t * factor,
        trajectory.q,
        trajectory.qd / factor,
        trajectory.qdd / factor**2,
    )


def limit_fault(trajectory: Trajectory, robot: Robot) -> str:
    """Which of the robot's limits the samples break, or the empty string."""
    if not all(np.all(np.isfinite(values)) for values in (trajectory.t, trajectory.q, trajectory.qd, trajectory.qdd)):
        return "a value is not finite"
    if np.any(np.diff(trajectory.t) <= 0):
        return "its time does not rise"
    for what, values, low, high in (
        ("position", trajectory.q, robot.lower - 1e-6, robot.upper + 1e-6),
        ("velocity", trajectory.qd, -robot.velocity * (1 + TOLERANCE), robot.velocity * (1 + TOLERANCE)),
        (
            "acceleration",
            trajectory.qdd,
            -robot.acceleration * (1 + TOLERANCE),
            robot.acceleration * (1 + TOLERANCE),
        ),
    ):
        broken = np.any((values < low) | (values > high), axis=0)
        if broken.any():
            return f"{what} limit of {robot.names[int(np.argmax(broken))]}"
    if float(np.max(np.abs(trajectory.qd[[0, -1]]))) > 1e-3:
        return "it does not start and end at rest"
    return ""
