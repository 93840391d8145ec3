"""The image store: lossless, checked, atomic, and loud when the disk is full."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from record_parts import picture

from inspection_cell.records.images import ImageDamaged, ImageStore, StoreFull
from inspection_cell.records.inspection_ids import file_name, inspection_folder, new_inspection_id

ID = "20260102-030405-abcdef12"


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images")


@pytest.mark.parametrize("encoding", ["mono8", "bayer_rggb8", "bayer_gbrg8", "rgb8", "bgr8"])
@pytest.mark.parametrize("size", [(48, 64), (1, 1), (37, 51)])
def test_pixels_come_back_as_grabbed(store: ImageStore, encoding: str, size: tuple[int, int]) -> None:
    shape = (*size, 3) if encoding in ("rgb8", "bgr8") else size
    image = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    file = store.write_view(ID, "g1/v3", image, encoding)
    assert file.path == f"2026-01-02/{ID}/g1_v3.{encoding}.tiff"
    back, found = store.read_view(ID, file.name, file.sha256)
    assert found == encoding
    assert np.array_equal(back, image)


def test_colours_are_right_for_other_programs(store: ImageStore) -> None:
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 255
    file = store.write_view(ID, "v", red, "rgb8")
    assert cv2.imread(str(store.folder / file.path))[0, 0].tolist() == [0, 0, 255]


def test_changed_cut_and_lost_files_are_refused(store: ImageStore) -> None:
    file = store.write_view(ID, "v", picture(), "mono8")
    path = store.folder / file.path
    data = bytearray(path.read_bytes())
    data[-7] ^= 1
    path.write_bytes(data)
    with pytest.raises(ImageDamaged, match="SHA-256 differs"):
        store.read_view(ID, file.name, file.sha256)
    path.write_bytes(data[:100])
    with pytest.raises(ImageDamaged, match="SHA-256 differs"):
        store.read_view(ID, file.name, file.sha256)
    path.unlink()
    with pytest.raises(ImageDamaged, match="cannot be read"):
        store.read_view(ID, file.name, file.sha256)


def test_an_image_that_does_not_fit_its_encoding_is_refused(store: ImageStore) -> None:
    with pytest.raises(ValueError, match="rgb8 needs"):
        store.write_view(ID, "v", picture(), "rgb8")


@pytest.mark.parametrize("name", ["../v.png", "a/b.png", "..", ""])
def test_names_never_lead_elsewhere(store: ImageStore, name: str) -> None:
    with pytest.raises(ValueError):
        store.write(ID, name, b"x")
    with pytest.raises(ValueError):
        store.read(name, "v.png", "0")


def test_no_half_file_and_no_leftover(store: ImageStore) -> None:
    store.write(ID, "v.png", b"first")
    file = store.write(ID, "v.png", b"second")
    assert [p.name for p in (store.folder / file.path).parent.iterdir()] == ["v.png"]
    assert store.read(ID, "v.png", file.sha256) == b"second"


def test_a_part_is_not_started_without_space(tmp_path: Path) -> None:
    free = ImageStore(tmp_path).free_bytes()
    ImageStore(tmp_path, minimum_free_bytes=free // 2).require_space()
    with pytest.raises(StoreFull, match="needed to start a part"):
        ImageStore(tmp_path, minimum_free_bytes=free * 2).require_space()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "none", tmp_path]).returncode:
        pytest.skip("a small disk can be mounted by root only")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def test_a_full_disk_is_said_and_leaves_nothing_half(small_disk: Path) -> None:
    store = ImageStore(small_disk)
    kept = store.write_view(ID, "v1", picture(0, 400, 400), "mono8")
    with pytest.raises(StoreFull, match="no space left"):
        store.write_view(ID, "v2", picture(1, 400, 400), "mono8")
    assert [p.name for p in (small_disk / kept.path).parent.iterdir()] == [kept.name]
    assert np.array_equal(store.read_view(ID, kept.name, kept.sha256)[0], picture(0, 400, 400))


def test_ids_and_folders() -> None:
    stamp = 1_767_323_045_000_000_000
    first, second = new_inspection_id(stamp), new_inspection_id(stamp)
    assert first != second
    assert first.startswith("20260102-030405-")
    assert inspection_folder(first) == f"2026-01-02/{first}"
    assert inspection_folder("demo1") == "undated/demo1"
    assert file_name("g1/v3 ä") == "g1_v3__"
    with pytest.raises(ValueError):
        inspection_folder("a/../b")
