"""Signals of the safety PLC: a Protocol, the rule for stale readings, and simulated ones."""

from collections.abc import Callable

from inspection_cell.devices.signals.base import Signals, SignalState, judge
from inspection_cell.devices.signals.config import SignalsConfig, SimulatedSignalsConfig
from inspection_cell.devices.signals.simulated import Inputs, SignalBox, SimulatedSignals

__all__ = [
    "Inputs",
    "SignalBox",
    "SignalState",
    "Signals",
    "SignalsConfig",
    "SimulatedSignals",
    "SimulatedSignalsConfig",
    "build_signals",
    "judge",
]


def build_signals(config: SignalsConfig, source: Callable[[], Inputs] | None = None) -> Signals:
    """The signals that the configuration names; simulated ones without a source never stop."""
    return SimulatedSignals(config, SignalBox() if source is None else source)
