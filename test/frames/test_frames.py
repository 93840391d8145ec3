"""Frames through real shared memory between real processes: pixels arrive, and never another frame's."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from inspection_cell.frames import (
    ENCODINGS,
    FrameHandle,
    FramePool,
    FramesExhausted,
    PoolInUse,
    StaleFrame,
    check_space,
    clean_leftovers,
    lease,
)

SHM = Path("/dev/shm")
spawn = multiprocessing.get_context("spawn")


@pytest.fixture
def name() -> Iterator[str]:
    pool = f"test-{uuid.uuid4().hex[:12]}"
    yield pool
    gc.collect()
    for path in SHM.glob(f"inspection_cell.{pool}*"):
        path.unlink()


def picture(value: int, shape: tuple[int, ...] = (20, 30)) -> NDArray[np.uint8]:
    return np.full(shape, value, np.uint8)


@settings(max_examples=60, deadline=None)
@given(
    encoding=st.sampled_from(sorted(ENCODINGS)),
    width=st.integers(1, 70),
    height=st.integers(1, 70),
    seed=st.integers(0, 2**32 - 1),
    strided=st.booleans(),
)
def test_pixels_come_back_exactly(encoding: str, width: int, height: int, seed: int, strided: bool) -> None:
    depth = ENCODINGS[encoding]
    shape = (height, width * (2 if strided else 1)) + (() if depth == 1 else (depth,))
    image = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)[:, :: 2 if strided else 1]
    with FramePool(f"test-{uuid.uuid4().hex[:12]}", 1) as pool:
        handle = pool.put(image, encoding)
        with lease(handle) as seen:
            assert np.array_equal(seen, image)
            assert not seen.flags.writeable
            with pytest.raises(ValueError):
                seen[0, 0] = 0


def test_a_frame_is_stale_after_its_slot_was_reused(name: str) -> None:
    with FramePool(name, 2) as pool:
        first = pool.put(picture(1), "mono8")
        second = pool.put(picture(2), "mono8")
        third = pool.put(picture(3), "mono8")
        assert third.name == first.name
        with pytest.raises(StaleFrame, match="generation"), lease(first):
            pass
        for handle, value in ((second, 2), (third, 3)):
            with lease(handle) as seen:
                assert (seen == value).all()


def test_a_leased_slot_is_passed_over_and_all_leased_is_exhausted(name: str) -> None:
    with FramePool(name, 2) as pool:
        first = pool.put(picture(1), "mono8")
        with lease(first) as kept:
            others = [pool.put(picture(value), "mono8") for value in (2, 3, 4)]
            assert all(handle.name != first.name for handle in others)
            with lease(others[-1]) as second_kept, pytest.raises(FramesExhausted, match="leased"):
                pool.put(picture(5), "mono8")
            del second_kept
            assert (kept == 1).all()
        del kept
        pool.put(picture(6), "mono8")
        assert pool.put(picture(7), "mono8").name in {first.name, others[-1].name}


def test_a_view_that_outlives_its_lease_keeps_the_slot(name: str) -> None:
    with FramePool(name, 1) as pool:
        with lease(pool.put(picture(9), "mono8")) as seen:
            corner = seen[:2, :2]
        del seen
        with pytest.raises(FramesExhausted):
            pool.put(picture(1), "mono8")
        assert (corner == 9).all()
        del corner
        pool.put(picture(1), "mono8")


def _hold(handle: FrameHandle, ready: multiprocessing.synchronize.Event) -> None:
    with lease(handle) as seen:
        assert (seen == 5).all()
        ready.set()
        signal.pause()


def test_a_killed_reader_frees_its_slot(name: str) -> None:
    with FramePool(name, 1) as pool:
        ready = spawn.Event()
        reader = spawn.Process(target=_hold, args=(pool.put(picture(5), "mono8"), ready))
        reader.start()
        assert ready.wait(30)
        with pytest.raises(FramesExhausted):
            pool.put(picture(6), "mono8")
        assert reader.pid is not None
        os.kill(reader.pid, signal.SIGKILL)
        reader.join()
        pool.put(picture(6), "mono8")


def _write_and_die(name: str, answer: multiprocessing.connection.Connection) -> None:
    pool = FramePool(name, 3)
    for value in range(5):
        answer.send(pool.put(picture(value), "mono8"))
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_restarted_writer_never_reuses_a_generation(name: str) -> None:
    handles: list[FrameHandle] = []
    for slots in (3, 2):
        receiver, sender = spawn.Pipe(duplex=False)
        writer = spawn.Process(target=_write_and_die, args=(name, sender))
        writer.start()
        handles += [receiver.recv() for _ in range(5)]
        writer.join()
        with lease(handles[-1]) as seen:
            assert (seen == 4).all()
        del seen
        with FramePool(name, slots) as pool:
            assert len(list(SHM.glob(f"inspection_cell.{name}.[0-9]*"))) == slots
            handles += [pool.put(picture(100), "mono8") for _ in range(3)]
        assert not list(SHM.glob(f"inspection_cell.{name}*"))
    for slot in {handle.name for handle in handles}:
        generations = [handle.generation for handle in handles if handle.name == slot]
        assert generations == sorted(set(generations))


def _read_all(pipe: multiprocessing.connection.Connection) -> None:
    """Leases every handle sent; answers how many were seen whole, how many stale, how many wrong."""
    whole = stale = wrong = 0
    while (task := pipe.recv()) is not None:
        handle, value = task
        try:
            with lease(handle) as seen:
                good = bool((seen == value).all()) and bool((np.array(seen) == value).all())
                whole, wrong = whole + good, wrong + (not good)
        except StaleFrame:
            stale += 1
    pipe.send((whole, stale, wrong))


def test_readers_racing_a_fast_writer_see_their_frame_or_an_error(name: str) -> None:
    with FramePool(name, 3) as pool:
        pipes, readers = [], []
        for _ in range(2):
            ours, theirs = spawn.Pipe()
            reader = spawn.Process(target=_read_all, args=(theirs,))
            reader.start()
            pipes.append(ours)
            readers.append(reader)
        for turn in range(1500):
            try:
                handle = pool.put(picture(turn % 251, (100, 150)), "mono8")
            except FramesExhausted:
                continue
            for pipe in pipes:
                pipe.send((handle, turn % 251))
        for pipe in pipes:
            pipe.send(None)
        counts = [pipe.recv() for pipe in pipes]
        for reader in readers:
            reader.join()
    assert sum(wrong for _, _, wrong in counts) == 0
    assert sum(whole for whole, _, _ in counts) > 0


def test_threads_of_one_writer_do_not_mix_their_frames(name: str) -> None:
    with FramePool(name, 8) as pool:
        handles: dict[int, FrameHandle] = {}

        def put(value: int) -> None:
            handles[value] = pool.put(picture(value, (300, 400)), "mono8")

        threads = [threading.Thread(target=put, args=(value,)) for value in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for value, handle in handles.items():
            with lease(handle) as seen:
                assert (seen == value).all()


def test_a_pool_has_one_writer(name: str) -> None:
    with FramePool(name, 1), pytest.raises(PoolInUse, match=name):
        FramePool(name, 1)
    FramePool(name, 1).close()


def test_leftovers_of_a_dead_writer_are_removed_and_a_living_one_is_left_alone(name: str) -> None:
    receiver, sender = spawn.Pipe(duplex=False)
    writer = spawn.Process(target=_write_and_die, args=(f"{name}-dead", sender))
    writer.start()
    writer.join()
    with FramePool(f"{name}-alive", 1) as alive:
        handle = alive.put(picture(3), "mono8")
        assert clean_leftovers(name) == [f"inspection_cell.{name}-dead.{slot}" for slot in range(3)]
        with lease(handle) as seen:
            assert (seen == 3).all()
    assert receiver.poll()


@pytest.mark.parametrize(
    "change",
    [{"width": 29}, {"size": 10**9}, {"encoding": "rgb8"}, {"name": "../etc/passwd"}, {"name": "inspection_cell.no.0"}],
)
def test_a_handle_that_does_not_fit_its_slot_is_refused(name: str, change: dict[str, object]) -> None:
    with FramePool(name, 1) as pool:
        handle = pool.put(picture(1), "mono8")
        with pytest.raises(StaleFrame), lease(replace(handle, **change)):  # type: ignore[arg-type]
            pass


def test_a_damaged_header_is_stale(name: str) -> None:
    with FramePool(name, 1) as pool:
        handle = pool.put(picture(1), "mono8")
        with (SHM / handle.name).open("r+b") as slot:
            slot.seek(20)
            slot.write(b"\xff")
        with pytest.raises(StaleFrame, match="no frame"), lease(handle):
            pass


@pytest.mark.parametrize("image", [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4)), np.zeros((0, 4), np.uint8)])
def test_an_image_that_is_not_what_its_encoding_says_is_refused(name: str, image: NDArray[np.uint8]) -> None:
    with FramePool(name, 1) as pool, pytest.raises(ValueError, match="mono8 needs"):
        pool.put(image, "mono8")


def test_too_little_space_is_said_with_the_cure() -> None:
    assert check_space(1, 1000) is None
    said = check_space(10_000, 10**9)
    assert said is not None and "shm-size" in said


@pytest.fixture
def tiny_tmpfs(tmp_path: Path) -> Iterator[Path]:
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs root and the right to mount a tmpfs")
    yield tmp_path
    gc.collect()
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_full_memory_is_an_error_that_leaves_older_frames_whole(tiny_tmpfs: Path) -> None:
    assert check_space(2, 800_000, tiny_tmpfs) is not None
    with FramePool("small", 3, tiny_tmpfs) as pool:
        handle = pool.put(picture(1, (1000, 600)), "mono8")
        with pytest.raises(FramesExhausted, match="no room"):
            pool.put(picture(2, (1000, 600)), "mono8")
        with lease(handle, tiny_tmpfs) as seen:
            assert (seen == 1).all()
        del seen
