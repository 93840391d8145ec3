"""From a recipe to the inspection plan of one part."""

from __future__ import annotations

from inspection_cell.core.plan import (
    CameraRole,
    CheckKind,
    ExpectedCheck,
    ExpectedView,
    InspectionPlan,
    Mode,
    PartRule,
    wide_views,
)
from inspection_cell.recipe.recipe import Recipe

RECORD_DEADLINE_S = 30.0


def make_plan(
    recipe: Recipe, inspection_id: str, request_id: str, serial: str, mode: Mode, simulated: bool, stamp_ns: int
) -> InspectionPlan:
    """The plan of one part: every view of the recipe, and every check the mode asks for.

    A teaching cell collects images: it aligns, weighs and records, but has no models to judge by.
    """
    views = tuple(
        ExpectedView(view_id, held, viewpoint.name, role, recipe.view_deadline_s)
        for view_id, held, viewpoint, role in recipe.all_views
    )
    checks = [
        ExpectedCheck(f"record/{v.view_id}", CheckKind.RECORD, v.view_id, deadline_s=RECORD_DEADLINE_S) for v in views
    ]
    if recipe.alignment is not None:
        checks += [
            ExpectedCheck(
                f"alignment/{view.view_id}",
                CheckKind.ALIGNMENT,
                view.view_id,
                deadline_s=recipe.alignment.deadline_s,
            )
            for view in views
            if view.role is CameraRole.INSPECTION or view == wide_views(views, view.grasp)[-1]
        ]
    if recipe.weight is not None:
        checks.append(_weight_check(recipe))
    if mode is not Mode.TEACH:
        checks += _presence_checks(recipe, views) + _anomaly_checks(recipe)
    presence = recipe.presence
    return InspectionPlan(
        inspection_id=inspection_id,
        request_id=request_id,
        serial=serial,
        recipe=recipe.name,
        recipe_hash=recipe.hash,
        mode=mode,
        simulated=simulated,
        mounting=recipe.core_mounting,
        stamp_ns=stamp_ns,
        views=views,
        checks=tuple(checks),
        rule=PartRule(
            anomaly_views=recipe.anomaly.views_to_fail if recipe.anomaly else 1,
            presence_min_judged={c.name: c.min_judged for c in presence.components}
            if presence and mode is not Mode.TEACH
            else {},
            presence_correlation=presence.correlation if presence else 1.0,
        ),
        deadline_s=recipe.deadline_s,
    )


def _weight_check(recipe: Recipe) -> ExpectedCheck:
    weight = recipe.weight
    assert weight is not None
    return ExpectedCheck(
        "weight",
        CheckKind.WEIGHT,
        nominal=weight.nominal_g / 1000,
        limit_uncertain=weight.uncertain_g / 1000,
        limit_defect=weight.defect_g / 1000,
        deadline_s=weight.deadline_s,
    )


def _presence_checks(recipe: Recipe, views: tuple[ExpectedView, ...]) -> list[ExpectedCheck]:
    presence = recipe.presence
    if presence is None:
        return []
    return [
        ExpectedCheck(
            f"presence/{component.name}/{view.view_id}",
            CheckKind.PRESENCE,
            view.view_id,
            component.name,
            model_hash=presence.model_hash or "",
            limit_uncertain=component.limits.uncertain if component.limits else presence.limit_uncertain,
            limit_defect=component.limits.defect if component.limits else presence.limit_defect,
            needs_alignment=True,
            deadline_s=presence.deadline_s,
        )
        for view in views
        if view.role is CameraRole.INSPECTION
        for component in presence.components
    ]


def _anomaly_checks(recipe: Recipe) -> list[ExpectedCheck]:
    anomaly = recipe.anomaly
    if anomaly is None or anomaly.limits is None:
        return []
    return [
        ExpectedCheck(
            f"anomaly/{view_id}",
            CheckKind.ANOMALY,
            view_id,
            model_hash=anomaly.models[view_id],
            limit_uncertain=anomaly.limits.uncertain,
            limit_defect=anomaly.limits.defect,
            limit_critical=anomaly.limits.critical,
            needs_alignment=True,
            deadline_s=anomaly.deadline_s,
        )
        for view_id in recipe.inspection_views
    ]
