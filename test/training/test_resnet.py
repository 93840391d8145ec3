"""Weights files with torchvision's names become feature extractors with the same features; others are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
from torch.nn import functional  # noqa: E402

from inspection_cell.anomaly.backbone import load_backbone  # noqa: E402
from inspection_cell.anomaly.preprocess import make_mapping  # noqa: E402
from inspection_cell.training.resnet import main  # noqa: E402


def weights_of(blocks: int, widths: tuple[int, int, int, int], bottleneck: bool, wide: int = 1) -> dict:
    """A state dictionary as torchvision's ResNets have them, whole, with random weights."""
    generator = torch.Generator().manual_seed(0)
    found: dict = {"fc.weight": torch.zeros(10, 4), "fc.bias": torch.zeros(10)}

    def convolution(name: str, norm: str, outputs: int, inputs: int, kernel: int) -> None:
        shape = (outputs, inputs, kernel, kernel)
        found[f"{name}.weight"] = torch.randn(shape, generator=generator) * (2 / (inputs * kernel**2)) ** 0.5
        found[f"{norm}.weight"] = torch.rand(outputs, generator=generator) + 0.5
        found[f"{norm}.bias"] = torch.randn(outputs, generator=generator) * 0.1
        found[f"{norm}.running_mean"] = torch.randn(outputs, generator=generator) * 0.1
        found[f"{norm}.running_var"] = torch.rand(outputs, generator=generator) + 0.5
        found[f"{norm}.num_batches_tracked"] = torch.tensor(7)

    convolution("conv1", "bn1", widths[0], 3, 7)
    inputs = widths[0]
    for layer, width in enumerate(widths, start=1):
        outputs = width * 4 if bottleneck else width
        for block in range(blocks):
            at, inner = f"layer{layer}.{block}", width * wide
            kernels = ((inner, 1), (inner, 3), (outputs, 1)) if bottleneck else ((outputs, 3), (outputs, 3))
            before = inputs
            for i, (after, kernel) in enumerate(kernels, start=1):
                convolution(f"{at}.conv{i}", f"{at}.bn{i}", after, before, kernel)
                before = after
            if block == 0 and (layer > 1 or outputs != inputs):
                convolution(f"{at}.downsample.0", f"{at}.downsample.1", outputs, inputs, 1)
            inputs = outputs
    return found


def features(weights: dict, x):
    """The three features, written out once more."""

    def step(x, conv: str, norm: str, stride: int):
        w = weights[f"{conv}.weight"]
        y = functional.conv2d(x, w, stride=stride, padding=w.shape[2] // 2)
        mean, variance = weights[f"{norm}.running_mean"], weights[f"{norm}.running_var"]
        return functional.batch_norm(y, mean, variance, weights[f"{norm}.weight"], weights[f"{norm}.bias"])

    x = functional.max_pool2d(step(x, "conv1", "bn1", 2).relu(), 3, 2, 1)
    for layer in (1, 2, 3):
        block = 0
        while f"layer{layer}.{block}.conv1.weight" in weights:
            at, stride = f"layer{layer}.{block}", 2 if layer > 1 and block == 0 else 1
            last = 3 if f"{at}.conv3.weight" in weights else 2
            y = x
            for i in range(1, last + 1):
                y = step(y, f"{at}.conv{i}", f"{at}.bn{i}", stride if i == last - 1 else 1)
                y = y.relu() if i < last else y
            if f"{at}.downsample.0.weight" in weights:
                x = step(x, f"{at}.downsample.0", f"{at}.downsample.1", stride)
            x, block = (x + y).relu(), block + 1
        yield x[0].numpy()


@pytest.mark.parametrize(
    ("blocks", "bottleneck", "wide", "channels"),
    [(2, False, 1, (16, 32, 48)), (3, True, 2, (64, 128, 192))],
    ids=["like ResNet18", "like WideResNet50"],
)
def test_features_are_those_of_the_weights(tmp_path: Path, capsys, blocks, bottleneck, wide, channels) -> None:
    weights = weights_of(blocks, (16, 32, 48, 16), bottleneck, wide)
    torch.save(weights, tmp_path / "some_resnet.pth")
    main([str(tmp_path / "some_resnet.pth"), "--out", str(tmp_path / "out")])
    assert "features as PyTorch's" in capsys.readouterr().out
    backbone = load_backbone(tmp_path / "out")
    assert tuple(output.channels for output in backbone.card.outputs) == channels
    assert "some_resnet.pth" in backbone.card.provenance and backbone.card.channel_order == "RGB"
    image = np.random.default_rng(1).integers(0, 256, (64, 80, 3), np.uint8)
    square = image[:, 8:72]
    pixels = torch.from_numpy(((square / 255 - backbone.card.mean) / backbone.card.std).astype(np.float32))
    found = backbone.features(square, make_mapping(64, 64, 64), [np.arange(n) for n in channels])
    for grid, wanted in zip(found, features(weights, pixels.permute(2, 0, 1)[None]), strict=True):
        np.testing.assert_allclose(grid, wanted, atol=1e-4 * np.abs(wanted).max())


def test_what_is_not_a_resnet_is_refused_in_one_sentence(tmp_path: Path) -> None:
    good = weights_of(1, (16, 16, 16, 16), False)
    broken = good | {"conv1.weight": torch.full((16, 3, 7, 7), float("nan"))}
    grouped = weights_of(1, (16, 16, 16, 16), True)
    grouped["layer1.0.conv2.weight"] = torch.zeros(16, 4, 3, 3)
    other = good | {"conv1.weight": torch.zeros(16, 3, 3, 3)}
    cut = {name: value for name, value in good.items() if name != "layer2.0.bn2.bias"}
    cases: dict[str, tuple[object, str]] = {
        "text": ("no weights", "something else than named tensors"),
        "vgg": ({"features.0.weight": torch.zeros(1)}, "has no conv1.weight"),
        "nan": (broken, "conv1.weight has values that are not finite"),
        "grouped": (grouped, "layer1.0 has grouped convolutions"),
        "small": (other, "not the weights of a torchvision ResNet"),
        "cut": (cut, "has no 'layer2.0.bn2.bias'"),
    }
    for name, (content, said) in cases.items():
        torch.save(content, tmp_path / f"{name}.pth")
        with pytest.raises(SystemExit, match=said):
            main([str(tmp_path / f"{name}.pth"), "--out", str(tmp_path / "out")])
    (tmp_path / "torn.pth").write_bytes(b"PK\x03\x04 torn")
    for name in ("torn", "missing"):
        with pytest.raises(SystemExit, match=f"{name}.pth: cannot be read as PyTorch weights"):
            main([str(tmp_path / f"{name}.pth"), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
