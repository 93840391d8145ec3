"""The MT-SICS driver on real serial ports (pseudo-terminals): its parser; a scale that settles, fails and vanishes."""

from __future__ import annotations

import os
import pty
import select
import threading
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspection_cell.devices.scale import (
    MtSicsConfig,
    MtSicsScale,
    Overload,
    ScaleBehaviour,
    ScaleError,
    ScaleFault,
    ScaleGarbage,
    ScaleLost,
    ScaleTimeout,
    ScaleUnstable,
    SimulatedScale,
    Underload,
)
from inspection_cell.devices.scale.mt_sics_reply import Reply, parse_reply

Answer = Callable[[str], list[bytes]]
Serve = Callable[[Answer], str]

PER_KG = {"kg": 1, "g": 1_000, "mg": 1_000_000}


@settings(deadline=None)
@given(
    value=st.decimals(-99999, 999999, places=2, allow_nan=False, allow_infinity=False),
    unit=st.sampled_from(sorted(PER_KG)),
    stable=st.booleans(),
    end=st.sampled_from([b"\r\n", b"\n", b""]),
)
def test_a_weight_is_read_in_kilograms(value: object, unit: str, stable: bool, end: bytes) -> None:
    status = "S" if stable else "D"
    reply = parse_reply(f"S {status} {value!s:>10} {unit}".encode() + end)
    assert (reply.command, reply.status) == ("S", status)
    assert reply.mass_kg == pytest.approx(float(str(value)) / PER_KG[unit], rel=1e-12, abs=1e-15)


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_reply_or_garbage(line: bytes) -> None:
    try:
        assert isinstance(parse_reply(line), Reply)
    except ScaleGarbage as error:
        assert str(error)


@settings(deadline=None)
@given(st.integers(0, 15), st.integers(1, 16), st.integers(0, 9999999))
def test_a_weight_that_lost_bytes_is_garbage(start: int, length: int, value: int) -> None:
    whole = f"S S {value / 100:10.2f} g".encode()
    damaged = whole[:start] + whole[start + length :]
    with pytest.raises(ScaleGarbage):
        parse_reply(damaged)


@pytest.mark.parametrize(
    "line",
    [b"S S        nan g", b"S S        1e5 g", b"S S     1.0.00 g", b"S S   - 100.00 g", b"S S     100.00 lb", b""],
)
def test_what_is_no_number_or_no_known_unit_is_garbage(line: bytes) -> None:
    with pytest.raises(ScaleGarbage):
        parse_reply(line)


class Pan:
    """What lies on the simulated scale, kilograms."""

    def __init__(self, mass_kg: float = 0.0) -> None:
        self.mass_kg = mass_kg

    def __call__(self) -> float:
        return self.mass_kg


@pytest.fixture
def pan() -> Pan:
    return Pan()


@pytest.fixture
def simulated(pan: Pan, tmp_path: Path) -> Iterator[SimulatedScale]:
    served = SimulatedScale(pan, link=tmp_path / "scale")
    yield served
    served.close()


@pytest.fixture
def scale(simulated: SimulatedScale) -> Iterator[MtSicsScale]:
    driver = MtSicsScale(MtSicsConfig(port=simulated.port, reply_timeout_s=0.3, settle_s=0.1))
    driver.open()
    yield driver
    driver.close()


def test_it_waits_for_rest_and_weighs_right(scale: MtSicsScale, pan: Pan) -> None:
    assert scale.serial_number == "SIMULATED"
    for mass_kg in (0.1234, 0.0, 1.5):
        pan.mass_kg = mass_kg
        before = time.time_ns()
        weighing = scale.weigh(5.0)
        assert weighing.mass_kg == pytest.approx(mass_kg, abs=1e-4)
        assert weighing.stable and weighing.reasons == ()
        assert before < weighing.stamp_ns <= time.time_ns()
        assert weighing.raw.startswith("S S ")


def test_tare_and_zero_count(scale: MtSicsScale, pan: Pan) -> None:
    pan.mass_kg = 0.2
    scale.weigh(5.0)
    scale.tare(5.0)
    pan.mass_kg = 0.25
    assert scale.weigh(5.0).mass_kg == pytest.approx(0.05, abs=1e-4)
    scale.zero(5.0)
    assert scale.weigh(5.0).mass_kg == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (ScaleFault.UNSTABLE, ScaleUnstable),
        (ScaleFault.SILENT, ScaleTimeout),
        (ScaleFault.GARBAGE, ScaleGarbage),
        (ScaleFault.OVERLOAD, Overload),
        (ScaleFault.UNDERLOAD, Underload),
    ],
)
def test_a_fault_is_its_error_in_time_and_the_next_weight_is_right(
    scale: MtSicsScale, simulated: SimulatedScale, pan: Pan, fault: ScaleFault, error: type[ScaleError]
) -> None:
    scale.weigh(5.0)
    pan.mass_kg = 0.3
    simulated.fault = fault
    time.sleep(0.2)
    began = time.monotonic()
    with pytest.raises(error):
        scale.weigh(0.8)
    assert time.monotonic() - began < 3.0
    simulated.fault = ScaleFault.NONE
    assert scale.weigh(5.0).mass_kg == pytest.approx(0.3, abs=1e-4)


def test_a_fault_that_passes_is_recovered_and_told(scale: MtSicsScale, simulated: SimulatedScale, pan: Pan) -> None:
    pan.mass_kg = 0.3
    simulated.fault = ScaleFault.GARBAGE
    threading.Timer(0.5, lambda: setattr(simulated, "fault", ScaleFault.NONE)).start()
    weighing = scale.weigh(5.0)
    assert weighing.mass_kg == pytest.approx(0.3, abs=1e-4)
    assert any(reason.startswith("ScaleGarbage") for reason in weighing.reasons)


def test_too_much_on_the_pan_is_an_overload(scale: MtSicsScale, pan: Pan) -> None:
    pan.mass_kg = 2 * ScaleBehaviour().capacity_kg
    with pytest.raises(Overload):
        scale.weigh(1.0)


def test_a_pulled_cable_is_lost_and_comes_back(scale: MtSicsScale, simulated: SimulatedScale, pan: Pan) -> None:
    pan.mass_kg = 0.4
    threading.Timer(0.3, simulated.unplug).start()
    with pytest.raises(ScaleLost):
        for _ in range(10):
            scale.weigh(2.0)
    assert not scale.is_open
    with pytest.raises(ScaleLost, match="does not open"):
        scale.weigh(1.0)
    simulated.plug()
    assert scale.weigh(5.0).mass_kg == pytest.approx(0.4, abs=1e-4)


def test_no_such_port_names_it() -> None:
    with pytest.raises(ScaleLost, match="/dev/ttyNOTHERE"):
        MtSicsScale(MtSicsConfig(port="/dev/ttyNOTHERE")).open()


@pytest.fixture
def scripted() -> Iterator[Serve]:
    """A port whose other end answers each command by a function: in pieces, and taking its time."""
    stop = threading.Event()
    served: list[tuple[threading.Thread, int, int]] = []

    def serve(answer: Answer) -> str:
        master, slave = pty.openpty()
        tty.setraw(slave)

        def loop() -> None:
            received = b""
            while not stop.is_set():
                if select.select([master], [], [], 0.02)[0]:
                    received += os.read(master, 100)
                while b"\n" in received:
                    command, _, received = received.partition(b"\n")
                    for piece in answer(command.strip().decode()):
                        os.write(master, piece)
                        time.sleep(0.02)

        thread = threading.Thread(target=loop, daemon=True)
        thread.start()
        served.append((thread, master, slave))
        return os.ttyname(slave)

    yield serve
    stop.set()
    for thread, master, slave in served:
        thread.join()
        os.close(master)
        os.close(slave)


def test_a_late_answer_is_never_the_next_weight(scripted: Serve) -> None:
    asked: list[str] = []

    def answer(command: str) -> list[bytes]:
        asked.append(command)
        if command == "I4":
            return [b'I4 A "B021002593"\r\n']
        if asked.count("SI") == 1:
            time.sleep(0.4)
            return [b"S S     111.11 g\r\n"]
        return [b"S S     222.22 g\r\n"]

    scale = MtSicsScale(MtSicsConfig(port=scripted(answer), reply_timeout_s=0.2, settle_s=0))
    scale.open()
    assert scale.serial_number == "B021002593"
    with pytest.raises(ScaleTimeout):
        scale.weigh(0.2)
    assert scale.weigh(2.0).mass_kg == pytest.approx(0.22222)
    scale.close()


def test_an_answer_in_pieces_is_read_whole(scripted: Serve) -> None:
    def answer(command: str) -> list[bytes]:
        if command == "I4":
            return [b'\x00\xffnoise\r\nS D       0.00 g\r\nI4 A "1"\r\n']
        return [b"S S     1", b"23.", b"45 g\r", b"\n"]

    port = scripted(answer)
    scale = MtSicsScale(MtSicsConfig(port=port, settle_s=0))
    scale.open()
    assert scale.weigh(2.0).mass_kg == pytest.approx(0.12345)
    scale.close()


def test_a_scale_that_talks_something_else_is_refused_at_open(
    scripted: Serve,
) -> None:
    port = scripted(lambda command: [b"+ 0.1234 kg\r\n"])
    with pytest.raises(ScaleGarbage, match="no MT-SICS"):
        MtSicsScale(MtSicsConfig(port=port, reply_timeout_s=0.2)).open()
