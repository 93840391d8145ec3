"""The recipe: how one kind of part is shown, what is checked on it and which limits decide."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from inspection_cell.core.plan import CameraRole, Mounting, Viewpoint
from inspection_cell.core.poses import Pose
from inspection_cell.motion.config import GraspConfig, PartConfig, PoseConfig, ViewpointConfig
from inspection_cell.recipe.loading import ConfigError, Strict, content_hash, load_model

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=64)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
PositiveFloat = Annotated[float, Field(gt=0)]


class PartSection(Strict):
    """The part and its CAD."""

    cad: str = Field(description="CAD file (STEP, STL, PLY, OBJ, GLB), relative to the recipe or to the package")
    unit: Literal["m", "mm", "inch"] | None = Field(
        default=None, description="length unit of the CAD file; STEP and GLB say it themselves"
    )
    envelope: PartConfig = Field(description="cylinder around the part, for collision checks")


class FixtureSection(Strict):
    """Where the part lies for a camera on the arm."""

    name: Name = Field(default="fixture", description="`views` refers to it")
    T_world_part: PoseConfig = Field(description="the part in the fixture; stands for the scene's station `infeed`")


class ImagingSection(Strict):
    """How views of one camera are exposed and lit."""

    exposure_s: float = Field(gt=0, le=10, description="exposure time, seconds")
    gain_db: float = Field(default=0.0, ge=0, le=48, description="analogue gain, decibel")
    light: str = Field(default="ring", description="name of a light setting of the cell")


class AlignmentSection(Strict):
    """How far the part may be from where the grasp, or the fixture, says."""

    prior_m: float = Field(default=0.003, gt=0, le=0.1, description="largest deviation, metres")
    prior_deg: float = Field(default=3.0, gt=0, le=30, description="largest deviation, degrees")
    deadline_s: PositiveFloat = Field(default=20.0, description="seconds after the last wide view")


class PresenceLimits(Strict):
    """Limits of a component's joined score, written by commissioning."""

    uncertain: float = Field(gt=0, lt=1, description="beyond it a person looks")
    defect: float = Field(gt=0, lt=1, description="beyond it the component is missing or wrong")

    @model_validator(mode="after")
    def _ordered(self) -> PresenceLimits:
        if not self.uncertain <= self.defect:
            raise ValueError("needs uncertain <= defect")
        return self


class ComponentSection(Strict):
    """A component whose presence is checked."""

    name: str = Field(min_length=1, description="name in the CAD assembly")
    min_judged: int = Field(default=1, ge=1, description="in so many views it must be judged at least")
    limits: PresenceLimits | None = Field(default=None, description="its own, in place of those of all components")


class PresenceSection(Strict):
    """Is each component there, and the right one?"""

    model: str = Field(description="folder of the classifier, relative to the recipe or to the package")
    model_hash: Sha256 | None = Field(default=None, description="SHA-256 the classifier must have")
    components: tuple[ComponentSection, ...] = Field(min_length=1)
    correlation: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="of a component's views, whose scores are joined by it; 1: never surer than one",
    )
    limit_uncertain: float = Field(default=0.5, gt=0, lt=1, description="joined score beyond which it is open")
    limit_defect: float = Field(default=0.9, gt=0, lt=1, description="joined score beyond which it is missing or wrong")
    deadline_s: PositiveFloat = Field(default=20.0, description="seconds after the view")


class AnomalyLimits(Strict):
    """Limits on the normalised score, calibrated on whole parts."""

    uncertain: PositiveFloat
    defect: PositiveFloat
    critical: PositiveFloat

    @model_validator(mode="after")
    def _ordered(self) -> AnomalyLimits:
        if not self.uncertain <= self.defect <= self.critical:
            raise ValueError("needs uncertain <= defect <= critical")
        return self


class AnomalySection(Strict):
    """PaDiM on every inspection view. `models` and `limits` are written by commissioning."""

    backbone: str = Field(default="models/backbone", description="folder of the feature network")
    size: Literal[128, 256, 512, 1024] = Field(default=256, description="heat map size, pixels")
    views_to_fail: int = Field(default=2, ge=1, description="n of m: so many views over their limit fail the part")
    false_reject_rate: float = Field(default=0.02, gt=0, lt=0.5, description="of good parts, stated for the part")
    folder: str = Field(default="", description="folder of the fitted models")
    models: dict[str, Sha256] = Field(default_factory=dict, description="view -> SHA-256 of its model")
    limits: AnomalyLimits | None = None
    deadline_s: PositiveFloat = Field(default=20.0, description="seconds after the view")


class WeightSection(Strict):
    """The part's mass and how far it may be off."""

    nominal_g: PositiveFloat = Field(description="grams")
    uncertain_g: PositiveFloat = Field(description="beyond this deviation a person looks, grams")
    defect_g: PositiveFloat = Field(description="beyond this deviation the part fails, grams")
    timeout_s: PositiveFloat = Field(default=6.0, description="for a stable reading, seconds")
    deadline_s: PositiveFloat = Field(default=10.0, description="seconds after the weighing")

    @model_validator(mode="after")
    def _ordered(self) -> WeightSection:
        if self.uncertain_g > self.defect_g:
            raise ValueError("needs uncertain_g <= defect_g")
        return self


class Recipe(Strict):
    """Everything the cell needs to know about one kind of part."""

    format: Literal[1]
    name: Name
    description: str = ""
    mounting: Literal["part_in_hand", "camera_in_hand"]
    part: PartSection
    grasps: tuple[GraspConfig, ...] = ()
    fixture: FixtureSection | None = None
    viewpoints: tuple[ViewpointConfig, ...] = Field(min_length=1)
    views: dict[Name, tuple[Name, ...]] = Field(
        description="grasp, or fixture -> viewpoints, in the order they are looked from"
    )
    imaging: dict[Literal["wide", "inspection"], ImagingSection]
    alignment: AlignmentSection | None = None
    presence: PresenceSection | None = None
    anomaly: AnomalySection | None = None
    weight: WeightSection | None = None
    view_deadline_s: PositiveFloat = Field(default=600.0, description="every view, after the plan")
    deadline_s: PositiveFloat = Field(default=900.0, description="the whole inspection")

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        for field, names in (
            ("grasps", [g.name for g in self.grasps]),
            ("viewpoints", [v.name for v in self.viewpoints]),
            ("presence.components", [c.name for c in self.presence.components] if self.presence else []),
        ):
            if twice := sorted({n for n in names if names.count(n) > 1}):
                raise ValueError(f"{field}: {', '.join(twice)} named twice; each name once")
        if self.mounting == "camera_in_hand":
            if self.fixture is None:
                raise ValueError("fixture: is missing; a camera on the arm needs a part that lies still")
            if self.grasps or self.weight:
                raise ValueError("mounting: an arm that carries the camera neither grips nor weighs; remove those")
        elif not self.grasps or self.fixture is not None:
            raise ValueError("grasps: an arm that carries the part needs one or two of them, and no fixture")
        viewpoints = {v.name: v for v in self.viewpoints}
        if set(self.views) != set(self.priors):
            raise ValueError(f"views: names {sorted(self.views)}, but the part is held in {sorted(self.priors)}")
        for grasp, names_of_grasp in self.views.items():
            for name in names_of_grasp:
                if name not in viewpoints:
                    raise ValueError(f"views.{grasp}: {name!r} is none of the viewpoints {sorted(viewpoints)}")
                if viewpoints[name].camera not in self.imaging:
                    raise ValueError(f"imaging: says nothing of camera {viewpoints[name].camera!r} (viewpoint {name})")
            if len(set(names_of_grasp)) != len(names_of_grasp):
                raise ValueError(f"views.{grasp}: a viewpoint stands twice")
            wide = [n for n in names_of_grasp if viewpoints.get(n) and viewpoints[n].camera == "wide"]
            if self.alignment is not None and (not wide or wide != list(names_of_grasp[: len(wide)])):
                raise ValueError(f"views.{grasp}: needs its wide viewpoints first, the alignment is made from them")
        if (self.presence or self.anomaly) and self.alignment is None:
            raise ValueError("alignment: is missing; presence and anomaly need it")
        if self.anomaly and self.anomaly.models and set(self.anomaly.models) != set(self.inspection_views):
            raise ValueError(f"anomaly.models: needs exactly the views {sorted(self.inspection_views)}")
        return self

    @property
    def hash(self) -> str:
        """SHA-256 of the recipe's content."""
        return content_hash(self)

    @property
    def core_mounting(self) -> Mounting:
        """Who moves."""
        return Mounting.PART_IN_HAND if self.mounting == "part_in_hand" else Mounting.CAMERA_IN_HAND

    @property
    def priors(self) -> dict[str, Pose]:
        """Where the part is said to be: T_tool_part by grasp; T_world_part by the fixture for a camera on the arm."""
        if self.fixture is not None:
            return {self.fixture.name: self.fixture.T_world_part.matrix}
        return {grasp.name: grasp.T_tool_part.matrix for grasp in self.grasps}

    @property
    def stray_m(self) -> float:
        """How far any point of the part's envelope may be from where the grasp, or the fixture, says, metres."""
        if self.alignment is None:
            return 0.0
        corner = math.hypot(self.part.envelope.radius_m, self.part.envelope.height_m / 2)
        return self.alignment.prior_m + 2 * corner * math.sin(math.radians(self.alignment.prior_deg) / 2)

    @property
    def all_views(self) -> tuple[tuple[str, str, Viewpoint, CameraRole], ...]:
        """(view id, grasp or fixture, viewpoint, camera) of every view in order."""
        viewpoints = {v.name: v for v in self.viewpoints}
        return tuple(
            (f"{held}/{name}", held, viewpoints[name].viewpoint, viewpoints[name].role)
            for held in self.priors
            for name in self.views[held]
        )

    @property
    def inspection_views(self) -> tuple[str, ...]:
        """Ids of the views that judge the part."""
        return tuple(view_id for view_id, _, _, role in self.all_views if role is CameraRole.INSPECTION)

    @property
    def commissioned(self) -> bool:
        """Whether the models and limits that it needs are in it."""
        anomaly_ready = self.anomaly is None or bool(self.anomaly.models and self.anomaly.limits)
        return anomaly_ready and (self.presence is None or self.presence.model_hash is not None)


def load_recipe(path: Path) -> Recipe:
    """Reads and checks a recipe.

    Raises:
        ConfigError: with one line for every wrong field.
    """
    recipe = load_model(path, Recipe)
    if recipe.name != path.stem:
        raise ConfigError(f"{path}: field 'name': found {recipe.name!r}; must be the file's name, {path.stem!r}")
    return recipe
