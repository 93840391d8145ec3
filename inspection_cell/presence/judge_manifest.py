"""A presence model's answers on the pictures of a manifest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection_cell.cad.render import GeometryRenderer
from inspection_cell.presence.classify import CLASSES, PresenceModel
from inspection_cell.presence.expectation import image_crop
from inspection_cell.presence.manifest import ManifestError, Picture

LABELS = {"present": 0, "missing": 1, "background": 1, "wrong": 2}
"""A background shows a place without the component."""
NO_COVARIANCE = np.zeros((6, 6))


@dataclass(frozen=True)
class Judged:
    """Answers on the pictures that could be judged.

    Attributes:
        pictures: them. crops: (n) grey 64 x 64 uint8, what the model was shown.
        labels: (n,) 0 present, 1 missing, 2 wrong. p: (n, 3). visible: (n,) fraction of the component.
        refused: why the others could not be judged, in the manifest's order.
    """

    pictures: tuple[Picture, ...]
    crops: tuple[NDArray[np.uint8], ...]
    labels: NDArray[np.int64]
    p: NDArray[np.float64]
    visible: NDArray[np.float64]
    refused: tuple[str, ...]


def judge_manifest(
    model: PresenceModel,
    renderer: GeometryRenderer,
    pictures: Sequence[Picture],
    folder: Path,
    progress: Callable[[int], None] = lambda done: None,
) -> Judged:
    """Judges pictures of the model's components, each by itself.

    Args:
        renderer: of the part. folder: where the manifest's images are.

    Raises:
        ManifestError: an image that cannot be read or is not of its camera's size. PresenceModelError: the model is of
            another part, or does not know a component.
    """
    kept, crops, labels, p, visible, refused = [], [], [], [], [], []
    for number, picture in enumerate(pictures):
        image = read_picture(folder / picture.image, picture)
        camera, pose = picture.camera.camera(), picture.pose()
        answer = model.judge(image, camera, renderer, pose, NO_COVARIANCE, picture.component)
        progress(number + 1)
        if not answer.probabilities:
            refused.append(f"{picture.image}: {answer.reason.text if answer.reason else answer.outcome.name}")
            continue
        kept.append(picture)
        crops.append(image_crop(image, answer.box).astype(np.uint8))
        labels.append(LABELS[picture.label])
        p.append([answer.probabilities[name] for name in CLASSES])
        visible.append(answer.visible)
    return Judged(
        tuple(kept),
        tuple(crops),
        np.array(labels, np.int64),
        np.array(p, float).reshape(-1, len(CLASSES)),
        np.array(visible, float),
        tuple(refused),
    )


def views_of_parts(judged: Judged) -> tuple[list[list[float]], NDArray[np.int64]]:
    """For each component of each part the scores 1 - p(present) of its views, and its label.

    A picture that names no part is the only one of its part.
    """
    groups: dict[tuple[str, str, str | int], list[int]] = defaultdict(list)
    for number, picture in enumerate(judged.pictures):
        groups[(picture.component, picture.label, picture.part or number)].append(number)
    scores = [(1 - judged.p[own, 0]).tolist() for own in groups.values()]
    return scores, judged.labels[[own[0] for own in groups.values()]]


def explained(model: PresenceModel, renderer: GeometryRenderer, picture: Picture, folder: Path) -> NDArray[np.uint8]:
    """A picture (h, w, 3) RGB of why a picture that could be judged was judged so."""
    image = read_picture(folder / picture.image, picture)
    camera, pose = picture.camera.camera(), picture.pose()
    return model.explain(model.judge(image, camera, renderer, pose, NO_COVARIANCE, picture.component))


def asked(judged: Judged) -> tuple[NDArray[np.int64], NDArray[np.float64], tuple[str, ...]]:
    """Labels (n,), probabilities (n, k) and names of the classes that the pictures show.

    Where they show no missing component, or no wrong one, that class counts as the other: both mean "not present".

    Raises:
        ManifestError: they show no present component, or nothing else.
    """
    there = [bool((judged.labels == label).any()) for label in range(len(CLASSES))]
    if not there[0] or not any(there[1:]):
        text = "the pictures that could be judged must show present components, and missing or wrong ones"
        raise ManifestError(f"{text}; there are {len(judged.labels)} such pictures")
    if all(there):
        return judged.labels, judged.p, CLASSES
    absent = np.column_stack([judged.p[:, 0], judged.p[:, 1:].sum(axis=1)])
    return np.minimum(judged.labels, 1), absent, (CLASSES[0], CLASSES[1] if there[1] else CLASSES[2])


def read_picture(path: Path, picture: Picture) -> NDArray[np.uint8]:
    """(h, w, 3) RGB.

    Raises:
        ManifestError: it cannot be read or is not of its camera's size.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise ManifestError(f"{path}: cannot be read as a picture; save it anew, or take its line out of the manifest")
    if image.shape[:2] != (picture.camera.height, picture.camera.width):
        size = f"{image.shape[1]}x{image.shape[0]}"
        raise ManifestError(f"{path}: is {size}, its camera {picture.camera.width}x{picture.camera.height}")
    return np.asarray(image, np.uint8)
