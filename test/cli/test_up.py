"""`inspection-cell up`: starts, refuses a second cell on its data, and on Ctrl-C leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from cell_support import wait_until

from inspection_cell.client.cell_client import CellClient
from inspection_cell.core.state import State
from inspection_cell.simulation.link import run_folder

NAMESPACE = "up_test"


@pytest.fixture(scope="module")
def config(teach_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    content = yaml.safe_load(teach_config.read_text(encoding="utf-8")) | {"namespace": NAMESPACE}
    path = tmp_path_factory.mktemp("up") / "cell.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "inspection_cell.cli.main", *map(str, arguments)]


def processes_of(data: Path) -> list[str]:
    """Command lines of living processes that name this data folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if str(data) in line:
                found.append(line)
    return found


def frames_of(data: Path) -> list[Path]:
    return sorted(Path("/dev/shm").glob(f"*{NAMESPACE}_{run_folder(data).name[-6:]}*"))


@pytest.fixture
def up(config: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen, Path]]:
    data = tmp_path / "data"
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen(command("up", "--config", config, "--data", data), stdout=log, stderr=log)
    yield process, data
    if process.poll() is None:
        process.kill()
        process.wait()
    log.close()


def test_up_is_operational_refuses_a_second_one_and_leaves_nothing_behind(up, config: Path) -> None:
    process, data = up
    with CellClient(NAMESPACE) as plc:
        state = plc.wait_until_up(120.0)
        assert state.state == State.INITIALIZED and process.poll() is None
        assert len(processes_of(data)) >= 5 and frames_of(data)
        second = subprocess.run(
            command("up", "--config", config, "--data", data), capture_output=True, text=True, timeout=60, check=False
        )
        assert second.returncode == 2 and "Traceback" not in second.stderr
        assert f"another cell (process {process.pid}) runs on this data folder" in second.stderr
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        plc.wait_for_state(lambda s: s.state == State.HALTED, 10.0)
    wait_until(lambda: not processes_of(data), 10.0, "the end of every process")
    assert frames_of(data) == []
    assert (data / "records.sqlite").is_file(), "what happened stays"


def test_up_killed_with_its_power_leaves_no_process(up) -> None:
    process, data = up
    wait_until(lambda: len(processes_of(data)) >= 5, 60.0, "the processes")
    process.kill()
    process.wait()
    wait_until(lambda: not processes_of(data), 60.0, "the end of every process")


def test_a_process_whose_parent_died_before_it_could_ask_for_a_signal_ends() -> None:
    """As when `up` is killed between starting a process and that process's first words to the kernel."""
    orphan = "from inspection_cell.cli.supervisor import _end_with_parent as end; end({}); print('runs')"
    for parent, code in (("__import__('os').getppid()", 0), ("-1", 1)):
        told = subprocess.run(
            [sys.executable, "-c", orphan.format(parent)], capture_output=True, timeout=60, check=False
        )
        assert (told.returncode, bool(told.stdout)) == (code, code == 0), told.stderr


def test_a_wrong_configuration_is_one_sentence(tmp_path: Path) -> None:
    wrong = tmp_path / "cell.yaml"
    wrong.write_text("format: 1\nnmae: x\n", encoding="utf-8")
    ended = subprocess.run(command("up", "--config", wrong), capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    assert f"{wrong}: field 'nmae': is not known here" in ended.stderr
    missing = subprocess.run(
        command("up", "--config", tmp_path / "no.yaml"), capture_output=True, text=True, timeout=60, check=False
    )
    assert missing.returncode == 2 and "no.yaml: cannot be read" in missing.stderr


def test_help_of_every_command_says_what_it_does() -> None:
    ended = subprocess.run(command("--help"), capture_output=True, text=True, timeout=60, check=True)
    for name in ("up", "simulate", "schema", "demo"):
        line = next(line for line in ended.stdout.splitlines() if line.split()[:1] == [name])
        assert len(line.split()) > 2, f"{name} has no help"
    unknown = subprocess.run(command("fly"), capture_output=True, text=True, timeout=60, check=False)
    assert unknown.returncode == 2 and "invalid choice: 'fly'" in unknown.stderr
