"""The plan of a part's whole way as steps of motions and gripper commands; kept in a file and checked when read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from inspection_cell.motion.planner import Joints, MotionError, Trajectory

START_TOLERANCE_RAD = 1e-3
FORMAT = 1


class StepRefused(MotionError):
    """A step was asked for that is not in the plan, or that does not begin where the arm is."""


class ForeignPlan(MotionError):
    """A plan file that is not for this scene, these parts or this code, or is damaged."""


@dataclass(frozen=True)
class Place:
    """Where the part is, by name: held in a grasp, standing at a station, or neither.

    Attributes:
        touch: links and obstacles the part may touch meanwhile.
    """

    held: str = ""
    at: str = ""
    touch: tuple[str, ...] = ()


@dataclass(frozen=True)
class Motion:
    """A trajectory, and where the part is during it; `station` where the fingers work close to a support."""

    trajectory: Trajectory
    place: Place
    station: bool = False


@dataclass(frozen=True)
class GripperCommand:
    """Open to, or close on, a width."""

    action: Literal["open", "close"]
    width_m: float


Segment = Motion | GripperCommand


@dataclass(frozen=True)
class Step:
    """One named piece of the part's way, e.g. "view:g1/top_000".

    Attributes:
        before, after: where the part is at the step's start and end.
    """

    name: str
    segments: tuple[Segment, ...]
    before: Place
    after: Place

    @property
    def motions(self) -> list[Motion]:
        """Its motions, without the gripper's commands."""
        return [segment for segment in self.segments if isinstance(segment, Motion)]

    @property
    def start(self) -> Joints:
        """The joints it starts from, (n,)."""
        return self.motions[0].trajectory.start

    @property
    def end(self) -> Joints:
        """The joints it ends at, (n,)."""
        return self.motions[-1].trajectory.end

    @property
    def duration_s(self) -> float:
        """Seconds of motion."""
        return sum(motion.trajectory.duration for motion in self.motions)


@dataclass(frozen=True)
class TaskPlan:
    """All steps of the part's way.

    Attributes:
        key: what it was planned for: scene, URDF, grasps, views, seed, code.
        steps: in the order of the way; then "place:<bin>" and "home" once for each bin.
    """

    key: str
    steps: tuple[Step, ...]

    @property
    def sequence(self) -> list[str]:
        """The names of the steps up to the last view, in order; then comes one "place:<bin>" and "home"."""
        return [step.name for step in self.steps if step.name != "home" and not step.name.startswith("place:")]

    def step(self, name: str, q: Joints, held: str = "") -> Step:
        """The step of that name that begins at joints q (n,) with the part held in a grasp (or not: "").

        Raises:
            StepRefused: there is none, or it begins elsewhere or with other hands.
        """
        named = [step for step in self.steps if step.name == name]
        if not named:
            raise StepRefused(f"step {name!r} is none of {', '.join(dict.fromkeys(s.name for s in self.steps))}")
        for step in named:
            if step.before.held == held and float(np.max(np.abs(step.start - q))) < START_TOLERANCE_RAD:
                return step
        off = min(float(np.max(np.abs(step.start - q))) for step in named)
        raise StepRefused(
            f"step {name!r} begins {off:.3f} rad from where the arm is, with {named[0].before.held or 'nothing'} held "
            f"(now: {held or 'nothing'}); retreat to home first"
        )

    @property
    def motion_s(self) -> float:
        """Seconds of motion for one part that goes to the first bin, gripper and stops not counted."""
        total = 0.0
        for step in self.steps:
            total += step.duration_s
            if step.name == "home":
                break
        return total

    def discontinuity(self) -> str:
        """Where one motion does not begin at the end of the one before; empty where all join."""
        position: Joints | None = None
        after_views: Joints | None = None
        for step in self.steps:
            if step.name.startswith("place:"):
                after_views = position if after_views is None else after_views
                position = after_views
            for motion in step.motions:
                if position is not None and float(np.max(np.abs(motion.trajectory.start - position))) > 1e-6:
                    return f"{step.name}: does not begin where the motion before ends"
                position = motion.trajectory.end
        return ""

    def save(self, path: Path) -> None:
        """Writes the plan to one .npz file, replacing it in one go."""
        trajectories = [motion.trajectory for step in self.steps for motion in step.motions]
        meta = {
            "format": FORMAT,
            "key": self.key,
            "joints": trajectories[0].names,
            "lengths": [len(trajectory.t) for trajectory in trajectories],
            "steps": [_step_to_json(step) for step in self.steps],
        }
        draft = path.with_suffix(".part.npz")
        np.savez_compressed(
            draft,
            meta=np.array(json.dumps(meta)),
            t=np.concatenate([trajectory.t for trajectory in trajectories]),
            q=np.concatenate([trajectory.q for trajectory in trajectories]),
            qd=np.concatenate([trajectory.qd for trajectory in trajectories]).astype(np.float32),
            qdd=np.concatenate([trajectory.qdd for trajectory in trajectories]).astype(np.float32),
        )
        draft.replace(path)

    @staticmethod
    def load(path: Path, key: str) -> TaskPlan:
        """Reads a plan made for `key`.

        Raises:
            ForeignPlan: it was made for something else, or is damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                meta = json.loads(str(stored["meta"]))
                arrays = [np.asarray(stored[name], float) for name in ("t", "q", "qd", "qdd")]
            if meta["format"] != FORMAT or meta["key"] != key:
                raise ForeignPlan(f"{path}: was planned for another scene, other parts or by other code")
            names = tuple(meta["joints"])
            ends = np.cumsum(meta["lengths"])
            trajectories = [
                Trajectory(names, *(values[end - length : end] for values in arrays))
                for length, end in zip(meta["lengths"], ends, strict=True)
            ]
            rest = iter(trajectories)
            return TaskPlan(key, tuple(_step_from_json(step, rest) for step in meta["steps"]))
        except ForeignPlan:
            raise
        except Exception as error:  # a damaged file raises whatever its bytes lead to: zip, JSON, numpy, key errors
            raise ForeignPlan(f"{path}: cannot be read as a plan: {error}") from error


def _step_to_json(step: Step) -> dict[str, Any]:
    segments: list[dict[str, Any]] = []
    for segment in step.segments:
        if isinstance(segment, Motion):
            segments.append({"place": asdict(segment.place), "station": segment.station})
        else:
            segments.append(asdict(segment))
    return {"name": step.name, "before": asdict(step.before), "after": asdict(step.after), "segments": segments}


def _step_from_json(data: dict[str, Any], trajectories: Any) -> Step:
    segments: list[Segment] = []
    for segment in data["segments"]:
        if "place" in segment:
            segments.append(Motion(next(trajectories), _place(segment["place"]), bool(segment["station"])))
        else:
            segments.append(GripperCommand(segment["action"], float(segment["width_m"])))
    return Step(data["name"], tuple(segments), _place(data["before"]), _place(data["after"]))


def _place(data: dict[str, Any]) -> Place:
    touch: Sequence[str] = data["touch"]
    return Place(data["held"], data["at"], tuple(touch))
