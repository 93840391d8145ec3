"""Light, gripper and signals: what they refuse, and what they say when the world does not follow."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from inspection_cell.devices.gripper import (
    GripperError,
    PartLost,
    SimulatedGripperConfig,
    build_gripper,
    require_part,
)
from inspection_cell.devices.light import (
    LightError,
    LightSetting,
    SimulatedLightConfig,
    UnknownSetting,
    build_light,
)
from inspection_cell.devices.signals import SignalBox, SimulatedSignalsConfig, build_signals, judge

LIGHT = SimulatedLightConfig(
    channels=("ring", "bar"), settings={"bright": {"ring": 1.0}, "flat": {"bar": 0.25, "ring": 0.0}}
)


def test_a_named_setting_drives_all_channels_and_off_puts_them_out() -> None:
    light = build_light(LIGHT)
    assert not light.is_on()
    assert light.set("flat").levels == {"ring": 0.0, "bar": 0.25}
    assert light.is_on()
    assert light.set(LightSetting({"ring": 0.5})).levels == {"ring": 0.5, "bar": 0.0}
    light.off()
    assert not light.is_on()


class BurntOut:
    """Lamps that take every setting and stay dark."""

    def on_set(self, levels: Mapping[str, float]) -> None:
        pass

    def read_levels(self) -> Mapping[str, float]:
        return {"ring": 0.0}


def test_a_lamp_that_stays_dark_is_seen() -> None:
    light = build_light(LIGHT, BurntOut())
    light.set("bright")
    assert not light.is_on()


class Unreachable:
    """A world whose connection is gone."""

    def on_set(self, levels: Mapping[str, float]) -> None:
        raise ConnectionResetError("gone")

    def read_levels(self) -> Mapping[str, float]:
        raise ConnectionResetError("gone")

    def on_open(self, width_m: float) -> None:
        raise ConnectionResetError("gone")

    def on_grip(self, width_m: float, force_n: float) -> float:
        raise ConnectionResetError("gone")

    def read_width(self) -> float:
        raise ConnectionResetError("gone")


def test_lost_contact_is_the_devices_own_error() -> None:
    light, gripper = build_light(LIGHT, Unreachable()), build_gripper(SimulatedGripperConfig(), Unreachable())
    with pytest.raises(LightError, match="gone"):
        light.set("bright")
    with pytest.raises(LightError, match="gone"):
        light.is_on()
    with pytest.raises(GripperError, match="gone"):
        gripper.open(0.05)
    with pytest.raises(GripperError, match="gone"):
        gripper.grip(0.05, 0.001, 20.0)
    with pytest.raises(GripperError, match="gone"):
        gripper.state()


def test_unknown_settings_channels_and_levels_are_refused() -> None:
    light = build_light(LIGHT)
    with pytest.raises(UnknownSetting, match="bright, flat"):
        light.set("brigth")
    with pytest.raises(UnknownSetting, match="ring, bar"):
        light.set(LightSetting({"spot": 1.0}))
    for level in (-0.1, 1.1, math.nan):
        with pytest.raises(UnknownSetting):
            LightSetting({"ring": level})
    with pytest.raises(ValidationError, match="no channel spot"):
        SimulatedLightConfig(channels=("ring",), settings={"x": {"spot": 1.0}})


class Fingers:
    """A world with a part of a certain width between the fingers, or none."""

    def __init__(self, part_m: float) -> None:
        self.part_m = part_m
        self.width_m = 0.08

    def on_open(self, width_m: float) -> None:
        self.width_m = width_m

    def on_grip(self, width_m: float, force_n: float) -> float:
        self.width_m = self.part_m
        return self.width_m

    def read_width(self) -> float:
        return self.width_m


@settings(deadline=None)
@given(part_m=st.floats(0, 0.08), expected_m=st.floats(0, 0.08), tolerance_m=st.floats(0, 0.01))
def test_only_a_part_of_the_expected_width_is_held(part_m: float, expected_m: float, tolerance_m: float) -> None:
    gripper = build_gripper(SimulatedGripperConfig(), Fingers(part_m))
    if expected_m - tolerance_m <= part_m <= expected_m + tolerance_m:
        assert gripper.grip(expected_m, tolerance_m, 20.0).holding
        assert require_part(gripper).width_m == part_m
        assert not gripper.open(0.08).holding
    else:
        with pytest.raises(PartLost):
            gripper.grip(expected_m, tolerance_m, 20.0)
        with pytest.raises(PartLost):
            require_part(gripper)


def test_a_part_that_slips_away_is_lost() -> None:
    fingers = Fingers(0.03)
    gripper = build_gripper(SimulatedGripperConfig(), fingers)
    gripper.grip(0.03, 0.001, 20.0)
    require_part(gripper)
    fingers.width_m = 0.0
    assert not gripper.state().holding
    with pytest.raises(PartLost, match=r"0\.00 mm"):
        require_part(gripper)


def test_a_gripper_without_a_world_holds_until_it_opens() -> None:
    gripper = build_gripper(SimulatedGripperConfig())
    assert not gripper.state().holding
    assert gripper.grip(0.03, 0.001, 20.0).holding
    assert gripper.state().holding
    assert not gripper.open(0.05).holding


@pytest.mark.parametrize(("width_m", "force_n"), [(0.2, 10.0), (-0.01, 10.0), (math.nan, 10.0), (0.03, 1e6)])
def test_what_the_gripper_cannot_do_is_refused(width_m: float, force_n: float) -> None:
    with pytest.raises(GripperError, match="not within"):
        build_gripper(SimulatedGripperConfig()).grip(width_m, 0.001, force_n)


def test_stop_and_door_forbid_motion() -> None:
    box = SignalBox()
    signals = build_signals(SimulatedSignalsConfig(), box)
    assert signals.read().may_move
    box.set_protective_stop(True)
    assert signals.read().protective_stop and not signals.read().may_move
    box.set_protective_stop(False)
    box.set_door_closed(False)
    assert not signals.read().protective_stop and not signals.read().may_move
    box.set_door_closed(True)
    assert signals.read().may_move


def test_a_cut_wire_becomes_a_protective_stop_and_heals() -> None:
    box = SignalBox()
    signals = build_signals(SimulatedSignalsConfig(max_age_s=0.1), box)
    assert signals.read().may_move
    box.set_connected(False)
    assert not signals.read().stale
    time.sleep(0.15)
    state = signals.read()
    assert state.stale and state.protective_stop and not state.door_closed
    box.set_connected(True)
    assert signals.read().may_move


def test_signals_never_heard_are_a_protective_stop() -> None:
    box = SignalBox()
    box.set_connected(False)
    state = build_signals(SimulatedSignalsConfig(), box).read()
    assert state.stale and state.protective_stop and not state.door_closed


@settings(deadline=None)
@given(st.booleans(), st.booleans(), st.floats(), st.floats(), st.floats(0, 10))
def test_only_a_fresh_reading_without_stop_lets_the_arm_move(
    stop: bool, closed: bool, stamp_s: float, now_s: float, max_age_s: float
) -> None:
    state = judge(stop, closed, stamp_s, now_s, max_age_s)
    fresh = not math.isnan(now_s - stamp_s) and now_s - stamp_s <= max_age_s
    assert state.may_move == (fresh and closed and not stop)
    assert state.protective_stop == (stop or not fresh)
