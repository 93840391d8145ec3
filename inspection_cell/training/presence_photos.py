"""Photographs with a truth and a pose as training samples: few of them, beside many renderings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from inspection_cell.cad.assembly import Assembly
from inspection_cell.cad.render import GeometryRenderer
from inspection_cell.presence.expectation import CHANNELS, SIZE_PX, expectation, image_crop, network_input
from inspection_cell.presence.judge_manifest import LABELS, read_picture
from inspection_cell.presence.manifest import ManifestError, Picture
from inspection_cell.training.presence_data import LEVELS, Samples
from inspection_cell.training.presence_scenes import LEAST_AREA_PX, LEAST_VISIBLE


def photo_samples(pictures: Sequence[Picture], folder: Path, assembly: Assembly, names: Sequence[str]) -> Samples:
    """The pictures that show enough of a component to be judged, as samples.

    Args:
        folder: where the manifest's images are. names: of the components that are judged; others are left out.

    Raises:
        ManifestError: an image that cannot be read, or no picture that could be used.
    """
    inputs, labels, components = [], [], []
    with GeometryRenderer(assembly) as renderer:
        for picture in pictures:
            if picture.component not in names:
                continue
            image = read_picture(folder / picture.image, picture)
            expected = expectation(renderer, picture.component, picture.pose(), picture.camera.camera())
            if expected is None or expected.visible < LEAST_VISIBLE or expected.area_px < LEAST_AREA_PX:
                continue
            given = network_input(image_crop(image, expected.box), expected.channels)
            inputs.append(np.rint(given * LEVELS).astype(np.int8))
            labels.append(LABELS[picture.label])
            components.append(list(names).index(picture.component))
    if not inputs:
        known = ", ".join(names)
        raise ManifestError(
            f"{folder}: no photograph shows enough of a component to learn from; components are {known}"
        )
    stacked = np.stack(inputs).reshape(-1, CHANNELS, SIZE_PX, SIZE_PX)
    return Samples(stacked, np.array(labels, np.int64), np.array(components, np.int64), np.arange(len(labels)))
