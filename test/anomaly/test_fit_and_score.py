"""From good images to packages to scores: two viewpoints of a made-up part, with the backbone that ships."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspection_cell.anomaly.backbone import Backbone, load_backbone
from inspection_cell.anomaly.engine_config import EngineConfig
from inspection_cell.anomaly.errors import AnomalyError, FitError, ImageError, ModelError, ScoreError
from inspection_cell.anomaly.evaluate import auroc, labelled_images
from inspection_cell.anomaly.fit import FitSettings, GoodImage, fit_views, update_views
from inspection_cell.anomaly.images import read_image
from inspection_cell.anomaly.inspect_folder import inspect_folder
from inspection_cell.anomaly.package import load_package
from inspection_cell.anomaly.picture import overlay
from inspection_cell.anomaly.score import load_model, load_models

SHIPPED = Path(__file__).resolve().parents[2] / "models" / "backbone"
HAZELNUTS = Path(__file__).resolve().parents[3] / "shared" / "data" / "hazelnut_toy"
SETTINGS = FitSettings(size=64, channels=40)
VIEWS = {"g1.front": 0, "g1.back": 1}


def part(seed, view=0, defect=False):
    """A ring on a dark ground, with its own noise and light; a defect is a dark scratch."""
    rng = np.random.default_rng([seed, view])
    image = np.full((120, 160, 3), 40.0)
    cv2.circle(image, (80, 60), 40, (150, 140, 120), 18 if view == 0 else -1)
    image = image * rng.uniform(0.95, 1.05) + rng.normal(0, 3, image.shape)
    if defect:
        cv2.line(image, (75, 10), (90, 34), (20, 20, 30), 4)
    return np.clip(image, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def backbone():
    return load_backbone(SHIPPED)


@pytest.fixture(scope="module")
def fitted(backbone, tmp_path_factory):
    out = tmp_path_factory.mktemp("models")
    images = {name: [GoodImage(lambda s=s, v=v: part(s, v)) for s in range(24)] for name, v in VIEWS.items()}
    steps = []
    result = fit_views(images, backbone, out, SETTINGS, progress=lambda done, total, text: steps.append((done, total)))
    assert steps[-1] == (48, 48) and len(steps) == 48
    return out, result


def test_defects_are_over_the_limit_and_new_good_parts_under(fitted):
    out, result = fitted
    model = load_models(out)["g1.front"]
    good = [model.score(part(seed)).score for seed in range(100, 120)]
    bad = [model.score(part(seed, defect=True)) for seed in range(100, 105)]
    limits = result.limits
    assert model.card.limits == limits and limits.m == 2 and limits.parts == 24
    assert min(b.score for b in bad) > limits.critical > max(good)
    row, column = np.unravel_index(bad[0].heat_map.argmax(), (64, 64))
    x, y = bad[0].mapping.to_original([[column, row]])[0]
    assert abs(x - 82) < 14 and abs(y - 22) < 16, "the heat map points at the scratch"


def test_excluding_the_defect_hides_it_and_excluding_all_is_an_error(fitted):
    model = load_models(fitted[0])["g1.front"]
    image, exclude = part(100, defect=True), np.zeros((120, 160), bool)
    exclude[:60, 50:115] = True
    assert model.score(image, exclude=exclude).score < 0.6 * model.score(image).score
    with pytest.raises(ScoreError, match="nothing"):
        model.score(image, exclude=np.ones((120, 160), bool))
    with pytest.raises(ImageError, match="exclusion mask"):
        model.score(image, exclude=exclude[:50])


def test_grey_crop_and_picture(fitted):
    model = load_models(fitted[0])["g1.front"]
    image = part(101, defect=True)
    found = model.score(image, crop=(20, 0, 120, 120))
    picture = overlay(image, found, model.card.normaliser, model.card.limits)
    assert picture.shape == image.shape and (picture[5:35, 70:95] != image[5:35, 70:95]).any()
    assert np.isfinite(model.score(image[..., 0]).score)


@pytest.mark.parametrize("image", [np.full((64, 64, 3), np.nan, np.float32), np.zeros((64, 64), np.uint16)])
def test_what_is_not_8_bit_never_scores(fitted, image):
    with pytest.raises(AnomalyError):
        load_models(fitted[0])["g1.front"].score(image)


def test_damaged_foreign_or_unexpected_packages_are_refused(fitted, backbone, tmp_path):
    out, result = fitted
    assert load_package(out / "g1.front").sha256 == result.hashes["g1.front"]
    with pytest.raises(ModelError, match="expected"):
        load_model(out / "g1.front", backbone, result.hashes["g1.back"])
    folder = tmp_path / "damaged"
    shutil.copytree(out / "g1.front", folder)
    array = np.load(folder / "weights.npy")
    array.flat[5] = np.nan
    np.save(folder / "weights.npy", array)
    with pytest.raises(ModelError, match=r"weights\.npy.*damaged"):
        load_package(folder)
    card = json.loads((folder / "card.json").read_text())
    import hashlib

    card["arrays"]["weights"] = hashlib.sha256((folder / "weights.npy").read_bytes()).hexdigest()
    (folder / "card.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match=r"weights\.npy.*not finite"):
        load_package(folder)
    (folder / "weights.npy").unlink()
    with pytest.raises(ModelError, match=r"weights\.npy.*missing"):
        load_package(folder)
    (folder / "card.json").unlink()
    with pytest.raises(ModelError, match=r"card\.json is missing"):
        load_package(folder)
    shutil.rmtree(folder)
    shutil.copytree(out / "g1.front", folder)
    with pytest.raises(ModelError, match="no such backbone"):
        load_model(folder)
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, "backbone_sha256": "0" * 64}))
    with pytest.raises(ModelError, match="fitted on backbone"):
        load_model(folder, backbone)


def test_half_the_storage_and_the_same_scores(backbone, tmp_path):
    images = [part(seed) for seed in range(12)]
    exact = fit_views({"v": images}, backbone, tmp_path / "exact", replace(SETTINGS, n=1))
    half = fit_views({"v": images}, backbone, tmp_path / "half", replace(SETTINGS, n=1, storage="float16"))
    np.testing.assert_array_equal(exact.left_out, half.left_out)
    models = [load_models(tmp_path / name)["v"] for name in ("exact", "half")]
    assert [load_package(tmp_path / n / "v").gaussians.weights.itemsize for n in ("exact", "half")] == [4, 2]
    assert not models[1].card.warnings and {p.name for p in (tmp_path / "half" / "v").glob("*half*")} == set()
    scores = [[model.score(part(seed)).score for model in models] for seed in range(100, 104)]
    np.testing.assert_allclose(*np.transpose(scores), rtol=0, atol=0.03)


def test_new_good_parts_are_learned_without_the_old_ones(fitted, backbone, tmp_path):
    out, before = fitted
    new = {name: [part(s, v) for s in range(24, 34)] for name, v in VIEWS.items()}
    result = update_views(new, out, tmp_path / "more")
    everything = {name: [part(s, v) for s in range(34)] for name, v in VIEWS.items()}
    at_once = fit_views(everything, backbone, tmp_path / "all", SETTINGS)
    for view in VIEWS:
        more, whole = (load_package(tmp_path / name / view) for name in ("more", "all"))
        assert more.card.images == 34 and more.card.data_sha256 == whole.card.data_sha256
        np.testing.assert_allclose(more.gaussians.weights, whole.gaussians.weights, rtol=1e-4, atol=1e-5)
    assert result.limits.parts == 34 and result.limits.uncertain == pytest.approx(at_once.limits.uncertain, rel=0.2)
    assert result.limits.alpha_reached < before.limits.alpha_reached
    with pytest.raises(FitError, match="behind the model already"):
        update_views(new, tmp_path / "more", tmp_path / "again")
    with pytest.raises(FitError, match="name another folder"):
        update_views(new, out, out)
    with pytest.raises(FitError, match=r"needs the same number for each of \['g1.back', 'g1.front'\]"):
        update_views({"g1.front": new["g1.front"]}, out, tmp_path / "again")


def test_a_fit_that_was_cut_off_goes_on(backbone, tmp_path):
    images = [part(seed) for seed in range(12)]

    def power_cut():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut = {"v": [*images[:9], GoodImage(power_cut), *images[10:]]}
        fit_views(cut, backbone, tmp_path / "cut", replace(SETTINGS, n=1), work=tmp_path / "work")
    computed = []
    spied = Backbone(backbone.card, backbone.onnx_bytes)
    spied.features = lambda *args: computed.append(1) or backbone.features(*args)
    resumed = fit_views({"v": images}, spied, tmp_path / "resumed", replace(SETTINGS, n=1), work=tmp_path / "work")
    assert len(computed) == 3, "the first nine images' features were there"
    at_once = fit_views({"v": images}, backbone, tmp_path / "once", replace(SETTINGS, n=1))
    np.testing.assert_array_equal(resumed.left_out, at_once.left_out)
    fit_views({"v": images}, spied, tmp_path / "other", replace(SETTINGS, n=1, size=128), work=tmp_path / "work")
    assert len(computed) == 15, "features of another size are of no use"


def test_a_model_is_not_used_with_another_precision(fitted):
    with pytest.raises(ModelError, match=r"fitted on float32.*set inference\.precision"):
        load_models(fitted[0], EngineConfig(provider="openvino", precision="bfloat16"))


def test_bad_training_data_is_named(backbone, tmp_path):
    images = [part(seed) for seed in range(20)]
    with pytest.raises(FitError, match="at least 8"):
        fit_views({"v": images[:7]}, backbone, tmp_path / "a", SETTINGS)
    with pytest.raises(FitError, match="same number"):
        fit_views({"v": images, "w": images[:19]}, backbone, tmp_path / "b", SETTINGS)
    with pytest.raises(FitError, match="image 7 is a copy of image 2"):
        fit_views({"v": [*images[:7], images[2], *images[8:]]}, backbone, tmp_path / "c", SETTINGS)
    odd = [*images[:5], part(5, defect=True), cv2.resize(images[6], (200, 150)), *images[7:]]
    result = fit_views({"v": odd}, backbone, tmp_path / "d", SETTINGS)
    assert any("image 5 is unlike the others" in text for text in result.warnings)
    assert any("160 x 120: 19, 200 x 150: 1" in text for text in result.warnings)
    assert any("allow a false-reject rate of 0.048" in text for text in result.warnings)


@pytest.mark.skipif(not HAZELNUTS.is_dir(), reason=f"real images absent: {HAZELNUTS}")
def test_real_hazelnuts(backbone, tmp_path):
    good = [read_image(p.path) for p in labelled_images(HAZELNUTS) if p.is_good]
    training = sorted((HAZELNUTS / "train" / "good").iterdir())
    result = fit_views({"view": training}, backbone, tmp_path, FitSettings(size=128, n=1))
    model = load_models(tmp_path)["view"]
    found = inspect_folder(model, HAZELNUTS, tmp_path / "worst.png")
    assert found.image_auroc > 0.8 and found.pixel_auroc > 0.85
    assert auroc(found.scores, [not image.is_good for image in found.images]) == found.image_auroc
    assert sum(model.score(image).score > result.limits.uncertain for image in good) <= 1
    assert cv2.imread(str(tmp_path / "worst.png")).shape[1] == 3 * 448
