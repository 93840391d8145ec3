"""Images into the network's square and back; images that must be refused."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspection_cell.anomaly.errors import ImageError
from inspection_cell.anomaly.images import read_image
from inspection_cell.anomaly.preprocess import make_mapping, preprocess, to_square

MEAN, STD = np.array([0.4, 0.5, 0.6], np.float32), np.array([0.2, 0.2, 0.3], np.float32)


@given(width=st.integers(20, 3000), height=st.integers(20, 3000), data=st.data())
def test_points_go_there_and_back(width, height, data):
    x, y = data.draw(st.integers(0, width - 12)), data.draw(st.integers(0, height - 12))
    crop = (x, y, data.draw(st.integers(8, width - x)), data.draw(st.integers(8, height - y)))
    mapping = make_mapping(width, height, 256, crop)
    points = np.array([[x, y], [x + crop[2] - 1, y + crop[3] - 1]], float)
    square = mapping.to_model(points)
    assert (square >= -0.5).all() and (square <= 255.5).all()
    np.testing.assert_allclose(mapping.to_original(square), points, atol=1e-6)
    assert max(mapping.content[2:]) == 256


def test_a_spot_is_found_again_in_the_original_image():
    image = np.zeros((300, 500), np.uint8)
    cv2.circle(image, (321, 123), 6, 255, -1)
    mapping = make_mapping(500, 300, 256, (200, 40, 240, 180))
    x, y, w, h = mapping.content
    square = np.zeros((256, 256), np.float32)
    square[y : y + h, x : x + w] = to_square(image, mapping)[..., 0]
    back = mapping.map_to_original(square, 500, 300)
    rows, columns = np.nonzero(back > 128)
    assert abs(columns.mean() - 321) < 0.5 and abs(rows.mean() - 123) < 0.5
    assert not back[:, :199].any()


def test_excluded_pixels_come_along():
    exclude = np.zeros((100, 200), bool)
    exclude[60:, :] = True
    mask = make_mapping(200, 100, 256).mask_to_model(exclude)
    assert not mask[:140].any() and mask[142:192].all() and not mask[192:].any()


def test_grey_equals_its_rgb_and_bgr_swaps():
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (64, 48)).astype(np.uint8)
    mapping = make_mapping(48, 64, 64)
    rgb = np.repeat(grey[..., None], 3, -1)
    np.testing.assert_array_equal(preprocess(grey, mapping, MEAN, STD), preprocess(rgb, mapping, MEAN, STD))
    colour = rng.integers(0, 256, (64, 48, 3)).astype(np.uint8)
    swapped = preprocess(colour[..., ::-1], mapping, MEAN, STD, "RGB")
    np.testing.assert_array_equal(preprocess(colour, mapping, MEAN, STD, "BGR"), swapped)
    assert (swapped[..., :8] == 0).all(), "padding is the network's mean colour"


@pytest.mark.parametrize("crop", [(-1, 0, 20, 20), (90, 0, 20, 20), (0, 0, 4, 20)])
def test_a_crop_outside_is_refused(crop):
    with pytest.raises(ImageError, match="crop"):
        make_mapping(100, 100, 256, crop)


def picture():
    return np.random.default_rng(1).integers(0, 256, (60, 80, 3)).astype(np.uint8)


def test_files_come_as_rgb(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), picture()[..., ::-1])
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), picture())


def test_opaque_alpha_is_dropped_and_transparency_refused(tmp_path):
    opaque = np.dstack([picture(), np.full((60, 80), 255, np.uint8)])
    cv2.imwrite(str(tmp_path / "opaque.png"), opaque)
    assert read_image(tmp_path / "opaque.png").shape == (60, 80, 3)
    opaque[0, 0, 3] = 100
    cv2.imwrite(str(tmp_path / "clear.png"), opaque)
    with pytest.raises(ImageError, match=r"clear\.png.*transparent"):
        read_image(tmp_path / "clear.png")


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_truncated_files_are_refused(tmp_path, name):
    file = tmp_path / name
    cv2.imwrite(str(file), picture())
    file.write_bytes(file.read_bytes()[:-2000])
    with pytest.raises(ImageError, match=f"{name}.*truncated"):
        read_image(file)


def test_sixteen_bit_text_empty_and_missing_files_are_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "deep.png"), picture().astype(np.uint16) * 257)
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "empty.jpg").touch()
    for name, why in (
        ("deep.png", "uint16"),
        ("text.png", "decoded"),
        ("empty.jpg", "decoded"),
        ("none.png", "no such"),
    ):
        with pytest.raises(ImageError, match=f"{name}.*{why}"):
            read_image(tmp_path / name)
