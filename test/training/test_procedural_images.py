"""The training pictures: made from a seed, with a truth that fits them."""

import numpy as np

from inspection_cell.training.procedural_images import TEXTURE_CLASSES, make_sample


def test_same_seed_same_picture_and_others_differ():
    a, b, c = (make_sample(np.random.default_rng(seed), 64) for seed in (7, 7, 8))
    np.testing.assert_array_equal(a.image, b.image)
    assert (a.image != c.image).any()


def test_truth_covers_all_classes_and_some_defects():
    rng = np.random.default_rng(0)
    samples = [make_sample(rng, 64) for _ in range(150)]
    classes = np.unique([sample.texture for sample in samples])
    assert classes.max() < TEXTURE_CLASSES and len(classes) > 0.9 * TEXTURE_CLASSES
    shares = np.array([sample.defect.mean() for sample in samples])
    assert 0.3 < (shares > 0).mean() < 0.8 and shares.max() < 0.5
    assert all(s.image.shape == (64, 64, 3) and s.image.dtype == np.uint8 and s.image.std() > 0 for s in samples)
