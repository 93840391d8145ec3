"""Every core type survives the way to JSON and back, and damaged JSON is refused by name."""

from __future__ import annotations

import json
import types
import typing
from dataclasses import fields, is_dataclass
from enum import Enum

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from inspection_cell.core import check, plan, reasons, verdict, view
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.codec import CodecError, decode, encode, from_json, to_json

CORE_TYPES = [
    cls
    for module in (check, plan, reasons, verdict, view)
    for cls in vars(module).values()
    if isinstance(cls, type) and is_dataclass(cls) and cls.__module__ == module.__name__
]
FLOATS = st.floats(allow_nan=True, allow_infinity=True)
CAMERAS = st.builds(
    lambda w, h, f, d: CameraModel(w, h, np.array([[f, 0, w / 3], [0, f * 1.1, h / 3], [0, 0, 1]]), d),
    st.integers(1, 9000),
    st.integers(1, 9000),
    st.floats(1e-3, 1e6),
    arrays(np.float64, 5),
)


def strategy(kind: object) -> st.SearchStrategy:
    """Any value that a field of this type may hold."""
    arguments, origin = typing.get_args(kind), typing.get_origin(kind)
    if kind is CameraModel:
        return CAMERAS
    if origin in (types.UnionType, typing.Union):
        return st.none() | strategy(arguments[0])
    if origin is np.ndarray:
        return arrays(np.float64, st.sampled_from([(4, 4), (6, 6), (0, 3), ()]))
    if origin is tuple:
        if arguments[1] is Ellipsis:
            return st.lists(strategy(arguments[0]), max_size=2).map(tuple)
        return st.tuples(*map(strategy, arguments))
    if origin is dict:
        return st.dictionaries(st.text(max_size=4), strategy(arguments[1]), max_size=2)
    if is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return st.builds(kind, **{f.name: strategy(hints[f.name]) for f in fields(kind)})
    if issubclass(kind, Enum):
        return st.sampled_from(kind)
    return {str: st.text(max_size=8), float: FLOATS, int: st.integers(), bool: st.booleans()}[kind]


def same(a: object, b: object) -> bool:
    """Equal bit for bit, NaN equal to NaN, and of the same types."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b, equal_nan=True)
    if is_dataclass(a):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return repr(a) == repr(b)


@pytest.mark.parametrize("cls", CORE_TYPES, ids=lambda c: c.__name__)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_round_trip(cls: type, data: st.DataObject) -> None:
    value = data.draw(strategy(cls))
    assert same(from_json(cls, to_json(value)), value)


def test_every_core_type_is_covered() -> None:
    assert {"InspectionPlan", "View", "Alignment", "Weight", "CheckResult", "PartVerdict", "Event"} <= {
        c.__name__ for c in CORE_TYPES
    }


def weight(**changes: object) -> dict:
    value = encode(view.Weight("i", 1, 0.1, True, "scale", reason=reasons.Reason(reasons.Code.SCALE_LOST, "x")))
    return value | changes


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({k: v for k, v in weight().items() if k != "mass_kg"}, "Weight: lacks mass_kg"),
        (weight(colour="red"), "Weight: unknown colour"),
        (weight(mass_kg="0.1"), "Weight.mass_kg: needs float, found str"),
        (weight(mass_kg=None), "Weight.mass_kg"),
        (weight(stable=1), "Weight.stable: needs bool, found int"),
        (weight(stamp_ns=1.0), "Weight.stamp_ns: needs int"),
        (weight(stamp_ns=True), "Weight.stamp_ns: needs int, found bool"),
        (weight(reason={"code": "NO_SUCH", "text": "", "subject": ""}), "Weight.reason.code: needs one of NONE"),
        (weight(reason=[]), "Weight.reason: needs an object"),
        ([], "Weight: needs an object"),
    ],
)
def test_damaged_data_is_refused_by_name(data: object, message: str) -> None:
    with pytest.raises(CodecError, match=message.replace("[", r"\[")):
        decode(view.Weight, data)


def test_damaged_array_and_text_are_refused() -> None:
    grasp = encode(plan.Grasp("g1", np.eye(4), 0.02))
    grasp["T_tool_part"]["values"].pop()
    with pytest.raises(CodecError, match=r"Grasp\.T_tool_part: shape"):
        decode(plan.Grasp, grasp)
    with pytest.raises(CodecError, match="not JSON"):
        from_json(plan.Grasp, to_json(plan.Grasp("g1", np.eye(4), 0.02))[:-3])


def test_numpy_scalars_become_plain_and_wrong_types_are_refused() -> None:
    value = view.Weight("i", np.int64(3), np.float64(0.25), np.bool_(True), "s")
    assert json.loads(to_json(value))["mass_kg"] == 0.25
    with pytest.raises(CodecError, match=r"Weight\.stable"):
        encode(view.Weight("i", 1, 0.1, "yes", "s"))
