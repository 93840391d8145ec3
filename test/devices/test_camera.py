"""The real pylon driver grabbing from pylon's emulated cameras, which are made to fail as devices do."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from inspection_cell.devices.camera import (
    BaslerConfig,
    Camera,
    CameraConfig,
    CameraError,
    CameraLost,
    CameraNotFound,
    EmulatedBaslerConfig,
    EmulatorFault,
    ExposureRequest,
    FolderConfig,
    GrabFailed,
    GrabTimeout,
    PictureSource,
    SettingRefused,
    WrongFrameSize,
    build_camera,
    emulation,
)
from inspection_cell.devices.camera.emulation import EmulatorFeed

pytest.importorskip("pypylon", reason='pypylon is not installed: pip install "inspection_cell[camera]"')

WIDTH, HEIGHT = 320, 200


def noise(seed: int, width: int = WIDTH, height: int = HEIGHT, depth: int = 1) -> NDArray[np.uint8]:
    shape = (height, width) if depth == 1 else (height, width, depth)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


class Script:
    """A picture source that answers from a list, and remembers what it was asked."""

    def __init__(self, *answers: NDArray[np.uint8] | EmulatorFault) -> None:
        self.answers = list(answers)
        self.asked: list[ExposureRequest] = []
        self.last: NDArray[np.uint8] | EmulatorFault | None = None

    def __call__(self, request: ExposureRequest) -> NDArray[np.uint8] | EmulatorFault:
        self.asked.append(request)
        self.last = self.answers.pop(0)
        return self.last


@pytest.fixture
def opened() -> Iterator[Callable[..., Camera]]:
    cameras: list[Camera] = []

    def open_camera(source: PictureSource, encoding: str = "mono8", index: int = 0, retries: int = 2) -> Camera:
        config = TypeAdapter(CameraConfig).validate_python(
            {
                "backend": "basler_emulated",
                "index": index,
                "width": WIDTH,
                "height": HEIGHT,
                "encoding": encoding,
                "retries": retries,
            }
        )
        cameras.append(build_camera(config, source))
        cameras[-1].open()
        return cameras[-1]

    yield open_camera
    for camera in cameras:
        camera.close()


@pytest.mark.parametrize("encoding", ["mono8", "bayer_rggb8", "bayer_gbrg8", "rgb8", "bgr8"])
def test_every_capture_is_the_picture_of_that_moment(opened: Callable[..., Camera], encoding: str) -> None:
    depth = 3 if encoding in ("rgb8", "bgr8") else 1
    source = Script(*(noise(seed, depth=depth) for seed in range(10)))
    camera = opened(source, encoding)
    for _ in range(10):
        before = time.time_ns()
        grab = camera.capture(0.005, 3.0, 10.0)
        assert np.array_equal(grab.image, source.last)
        assert grab.encoding == encoding and grab.attempts == 1 and grab.reasons == ()
        assert before <= grab.stamp_ns <= time.time_ns()
        assert grab.exposure_s == pytest.approx(0.005) and grab.gain_db == pytest.approx(3.0, abs=0.1)
    assert set(source.asked) == {ExposureRequest(0.005, 3.0)}
    assert camera.info.simulated and camera.info.serial == "0815-0000"


def test_an_older_picture_is_noticed_and_taken_again(
    opened: Callable[..., Camera], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Script(noise(1), noise(2), noise(3))
    camera = opened(source)
    camera.capture(0.005, 3.0, 2.0)
    show = EmulatorFeed._show
    skipped: list[bool] = []

    def show_late(feed: EmulatorFeed, picture: NDArray[np.uint8]) -> None:
        if skipped:
            show(feed, picture)
        skipped.append(True)

    monkeypatch.setattr(EmulatorFeed, "_show", show_late)
    grab = camera.capture(0.005, 3.0, 2.0)
    assert grab.attempts == 2 and "older picture" in grab.reasons[0]
    assert np.array_equal(grab.image, source.last)


def test_two_cameras_do_not_mix_their_pictures(opened: Callable[..., Camera]) -> None:
    pictures = [[noise(10 * index + turn) for turn in range(4)] for index in range(2)]
    cameras = [opened(Script(*pictures[index]), index=index) for index in range(2)]
    for turn in range(4):
        for index, camera in enumerate(cameras):
            assert np.array_equal(camera.capture(0.01, 0.0, 2.0).image, pictures[index][turn])


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        (EmulatorFault.FAILED_BUFFER, "GrabFailed"),
        (EmulatorFault.NO_FRAME, "GrabTimeout"),
        (EmulatorFault.UNPLUGGED, "CameraLost"),
    ],
)
def test_a_transient_failure_is_recovered_and_told(
    opened: Callable[..., Camera], fault: EmulatorFault, name: str
) -> None:
    camera = opened(Script(noise(1), fault, noise(2), noise(3)))
    camera.capture(0.01, 0.0, 0.3)
    recovered = camera.capture(0.01, 0.0, 0.3)
    assert np.array_equal(recovered.image, noise(2))
    assert recovered.attempts == 2 and recovered.reasons[0].startswith(name)
    clean = camera.capture(0.01, 0.0, 0.3)
    assert np.array_equal(clean.image, noise(3)) and clean.attempts == 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (EmulatorFault.FAILED_BUFFER, GrabFailed),
        (EmulatorFault.NO_FRAME, GrabTimeout),
        (EmulatorFault.UNPLUGGED, CameraLost),
    ],
)
def test_a_lasting_failure_is_an_error_with_every_reason_and_the_camera_lives_on(
    opened: Callable[..., Camera], fault: EmulatorFault, error: type[CameraError]
) -> None:
    camera = opened(Script(fault, fault, noise(4)), retries=1)
    with pytest.raises(error) as raised:
        camera.capture(0.01, 0.0, 0.2)
    assert len(raised.value.reasons) == 2
    assert np.array_equal(camera.capture(0.01, 0.0, 0.5).image, noise(4))


@pytest.mark.parametrize("size", [(100, 80), (WIDTH, HEIGHT + 1), (2 * WIDTH, HEIGHT), (WIDTH, HEIGHT - 1)])
def test_a_frame_of_another_size_is_refused_at_once(opened: Callable[..., Camera], size: tuple[int, int]) -> None:
    camera = opened(Script(noise(1, *size), noise(2)))
    with pytest.raises(WrongFrameSize, match=f"{WIDTH}x{HEIGHT}"):
        camera.capture(0.01, 0.0, 1.0)
    assert np.array_equal(camera.capture(0.01, 0.0, 1.0).image, noise(2))


def test_a_picture_source_out_of_reach_is_a_failed_grab(opened: Callable[..., Camera]) -> None:
    def unreachable(request: ExposureRequest) -> NDArray[np.uint8]:
        raise ConnectionResetError("simulation gone")

    with pytest.raises(GrabFailed, match="simulation gone"):
        opened(unreachable).capture(0.01, 0.0, 1.0)


def test_full_shared_memory_is_a_failed_grab(
    opened: Callable[..., Camera], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs root and the right to mount a tmpfs")
    try:
        monkeypatch.setattr(emulation, "_SHARED_MEMORY", tmp_path)
        colour = noise(1, depth=3)
        camera = opened(lambda request: colour, "rgb8")
        filler = tmp_path / "filler"
        filler.write_bytes(bytes(150_000))
        with pytest.raises(GrabFailed, match="No space"):
            camera.capture(0.01, 0.0, 1.0)
        filler.unlink()
        assert np.array_equal(camera.capture(0.01, 0.0, 1.0).image, colour)
        camera.close()
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def test_a_frame_nobody_asked_for_is_never_taken_for_the_answer(opened: Callable[..., Camera]) -> None:
    def source(request: ExposureRequest) -> NDArray[np.uint8]:
        return noise(len(seen))

    seen: list[int] = []
    camera = opened(source)
    camera.capture(0.01, 0.0, 1.0)
    seen.append(1)
    # A second trigger pulse reaches the camera, as from a noisy line.
    camera._device.TriggerSoftware.Execute()  # type: ignore[attr-defined]
    time.sleep(0.2)
    assert np.array_equal(camera.capture(0.01, 0.0, 1.0).image, noise(1))


@pytest.mark.parametrize(("exposure_s", "gain_db", "named"), [(3600.0, 0.0, "ExposureTime"), (0.01, 90.0, "Gain")])
def test_settings_out_of_range_name_the_range(
    opened: Callable[..., Camera], exposure_s: float, gain_db: float, named: str
) -> None:
    with pytest.raises(SettingRefused, match=rf"{named}.*allows .* to "):
        opened(Script(noise(1))).capture(exposure_s, gain_db, 1.0)


def test_an_unknown_serial_names_what_was_found() -> None:
    camera = build_camera(BaslerConfig(serial="40012345", width=10, height=10))
    with pytest.raises(CameraNotFound, match="40012345"):
        camera.open()
    with pytest.raises(CameraError, match="not open"):
        camera.capture(0.01, 0.0, 1.0)


def test_nothing_is_left_in_shared_memory(opened: Callable[..., Camera]) -> None:
    left = Path(f"/dev/shm/inspection_cell.feed.{os.getpid()}.0")
    camera = opened(Script(noise(1)))
    assert left.exists()
    camera.close()
    assert not left.exists()
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    dead = Path(f"/dev/shm/inspection_cell.feed.{child.pid}.0")
    dead.mkdir()
    opened(Script(noise(1)))
    assert not dead.exists()


def test_missing_pypylon_names_the_cure() -> None:
    code = (
        "import sys; sys.modules['pypylon'] = None\n"
        "from inspection_cell.devices.camera import *\n"
        "try: build_camera(BaslerConfig(serial='1', width=1, height=1))\n"
        "except CameraNotFound as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "inspection_cell[camera]" in said


def test_a_folder_is_played_in_order_and_from_the_start_again(tmp_path: Path) -> None:
    for seed in (2, 1):
        cv2.imwrite(str(tmp_path / f"{seed}.png"), noise(seed))
    camera = build_camera(FolderConfig(folder=tmp_path, width=WIDTH, height=HEIGHT))
    camera.open()
    played = [camera.capture(0.01, 0.0, 1.0).image for _ in range(3)]
    for image, seed in zip(played, (1, 2, 1), strict=True):
        assert np.array_equal(image, noise(seed))


def test_a_folder_with_wrong_things_says_which_file(tmp_path: Path) -> None:
    camera = build_camera(FolderConfig(folder=tmp_path, width=WIDTH, height=HEIGHT))
    with pytest.raises(CameraNotFound, match="no picture"):
        camera.open()
    (tmp_path / "broken.png").write_bytes(b"no png")
    cv2.imwrite(str(tmp_path / "small.png"), noise(1, 20, 20))
    camera.open()
    with pytest.raises(GrabFailed, match=r"broken\.png"):
        camera.capture(0.01, 0.0, 1.0)
    with pytest.raises(WrongFrameSize, match=r"small\.png"):
        camera.capture(0.01, 0.0, 1.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"backend": "baslr", "width": 1, "height": 1},
        {"backend": "basler", "serial": "1", "width": 0, "height": 1},
        {"backend": "basler", "serial": "1", "width": 1, "height": 1, "exposure": 3},
        {"backend": "basler", "serial": "1", "width": 1, "height": 1, "encoding": "yuv"},
    ],
)
def test_a_wrong_configuration_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(CameraConfig).validate_python(wrong)


def test_an_emulated_camera_has_a_picture_source() -> None:
    with pytest.raises(ValueError, match="picture source"):
        build_camera(EmulatedBaslerConfig(width=1, height=1))
