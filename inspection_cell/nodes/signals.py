"""The signals node: protective stop and door, read ten times a second, published on change and again now and then."""

from __future__ import annotations

import time

from inspection_cell_interfaces import msg
from rclpy.node import Parameter

from inspection_cell.core.reasons import Code
from inspection_cell.core.verdict import Severity
from inspection_cell.devices.signals import Signals, build_signals
from inspection_cell.nodes import convert, qos
from inspection_cell.nodes.managed import ManagedNode
from inspection_cell.simulation.link import WorldLink, connect_world

PERIOD_S = 0.1
REPEAT_S = 0.4


class SignalsNode(ManagedNode):
    """Inputs from the line and the safety controller. What cannot be read counts as a protective stop."""

    def __init__(self, parameter_overrides: list[Parameter] | None = None) -> None:
        super().__init__("signals", parameter_overrides)
        self._signals: Signals | None = None
        self._world: WorldLink | None = None
        self._last: tuple[bool, bool, bool] | None = None
        self._published = 0.0
        self._publisher = self.create_publisher(msg.SignalState, "signals", qos.STATE)
        self.create_timer(PERIOD_S, self.guarded(self._publish))

    def configure(self) -> None:
        self._world = connect_world(self.config, self.data_folder)
        self._signals = build_signals(self.config.signals, self._world.signals if self._world is not None else None)

    def cleanup(self) -> None:
        if self._world is not None:
            self._world.close()
        self._signals = self._world = None

    def diagnose(self) -> dict[str, object]:
        if self._last is None:
            return {}
        return dict(zip(("protective stop", "door closed", "valid"), self._last, strict=True))

    def _publish(self) -> None:
        if not self.active or self._signals is None:
            return
        state = self._signals.read()
        now = (state.protective_stop, state.door_closed, not state.stale)
        changed = now != self._last
        if not changed and time.monotonic() - self._published < REPEAT_S:
            return
        self._published = time.monotonic()
        if changed:
            stopped = now[0] or not now[1] or not now[2]
            text = f"protective stop {now[0]}, door closed {now[1]}, valid {now[2]}"
            self.event(Severity.INFO, Code.PROTECTIVE_STOP if stopped else Code.NONE, text)
        self._last = now
        self._publisher.publish(
            msg.SignalState(
                stamp=convert.time_to_msg(time.time_ns()), protective_stop=now[0], door_closed=now[1], valid=now[2]
            )
        )
