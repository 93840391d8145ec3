"""The image store: each view's pixels as grabbed, without loss, durable before anyone relies on them.

Files lie at `<folder>/<yyyy-mm-dd>/<inspection_id>/<view>.<encoding>.tiff`, uncompressed: on the machine this was
written on, encoding 2 / 20 MP mono took 0.3 / 7 ms, against 36 / 373 ms for PNG at level 1.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection_cell.frames.encodings import check_image
from inspection_cell.records.inspection_ids import file_name, inspection_folder

_UNCOMPRESSED = (cv2.IMWRITE_TIFF_COMPRESSION, 1)


class StoreFull(RuntimeError):
    """No room for what must be kept: nothing may be inspected without being recorded."""


class ImageDamaged(RuntimeError):
    """A stored file is gone, cannot be read, or is not what was written."""


@dataclass(frozen=True)
class StoredFile:
    """A file of the store.

    Attributes:
        path: relative to the store's folder.
        name: relative to the inspection's folder, as CheckResult.artifact has it.
        sha256: of the file's bytes, hex.
    """

    path: str
    name: str
    sha256: str


class ImageStore:
    """Writes and reads the files of inspections. Several processes may use one folder at the same time.

    Args:
        folder: made when absent.
        minimum_free_bytes: `require_space` refuses below this; 2 GB is some 60 parts of 16 views at 2 MP.
    """

    def __init__(self, folder: Path | str, minimum_free_bytes: int = 2_000_000_000) -> None:
        self.folder = Path(folder)
        self.minimum_free_bytes = minimum_free_bytes
        self.folder.mkdir(parents=True, exist_ok=True)

    def write_view(self, inspection_id: str, view_id: str, image: NDArray[np.uint8], encoding: str) -> StoredFile:
        """Stores a view's pixels as grabbed: (h, w) or (h, w, 3) uint8, as `encoding` says.

        Raises:
            StoreFull: no space left.
            ValueError: the image does not fit its encoding.
        """
        check_image(image, encoding)
        pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if encoding == "rgb8" else image
        data = cv2.imencode(".tiff", pixels, _UNCOMPRESSED)[1]
        return self.write(inspection_id, f"{file_name(view_id)}.{encoding}.tiff", data.data)

    def write(self, inspection_id: str, name: str, data: bytes | memoryview) -> StoredFile:
        """Stores a file beside the inspection's images; a file of that name is replaced. Durable on return.

        Raises:
            StoreFull: no space left.
        """
        path = self._path(inspection_id, name)
        try:
            _make_folder(path.parent)
            _write_durably(path, data)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StoreFull(f"{path}: no space left; remove old days from {self.folder} or add a disk") from error
            raise
        return StoredFile(str(path.relative_to(self.folder)), path.name, hashlib.sha256(data).hexdigest())

    def read(self, inspection_id: str, name: str, sha256: str) -> bytes:
        """The bytes of a file, checked against its hash.

        Raises:
            ImageDamaged: it is gone or was changed.
        """
        path = self._path(inspection_id, name)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ImageDamaged(f"{path}: cannot be read: {error.strerror}") from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ImageDamaged(f"{path}: not the file that was recorded (SHA-256 differs)")
        return data

    def read_view(self, inspection_id: str, name: str, sha256: str) -> tuple[NDArray[np.uint8], str]:
        """A view's pixels as grabbed and their encoding.

        Raises:
            ImageDamaged: the file is gone, was changed, or is no image of this store.
        """
        data = self.read(inspection_id, name, sha256)
        encoding = name.split(".")[-2]
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if pixels is None:
            raise ImageDamaged(f"{self._path(inspection_id, name)}: cannot be decoded")
        image = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB) if encoding == "rgb8" else pixels, np.uint8)
        try:
            check_image(image, encoding)
        except ValueError as error:
            raise ImageDamaged(f"{self._path(inspection_id, name)}: {error}") from error
        return image, encoding

    def exists(self, inspection_id: str, name: str) -> bool:
        """Whether the file is there; its content is not read."""
        return self._path(inspection_id, name).is_file()

    def free_bytes(self) -> int:
        """Space left on the store's disk."""
        return shutil.disk_usage(self.folder).free

    def require_space(self) -> None:
        """To be asked before a part is started.

        Raises:
            StoreFull: less than `minimum_free_bytes` are left.
        """
        free = self.free_bytes()
        if free < self.minimum_free_bytes:
            found = f"{free / 1e9:.2f} GB free, {self.minimum_free_bytes / 1e9:.2f} GB needed to start a part"
            raise StoreFull(f"{self.folder}: {found}; remove old days or add a disk")

    def _path(self, inspection_id: str, name: str) -> Path:
        if file_name(name) != name:
            raise ValueError(f"{name!r} is no plain file name: artifacts lie directly in the inspection's folder")
        return self.folder / inspection_folder(inspection_id) / name


def _make_folder(folder: Path) -> None:
    """Makes the inspection's folder and its day, and makes their names durable, once."""
    if folder.is_dir():
        return
    folder.mkdir(parents=True, exist_ok=True)
    _sync_folder(folder.parent)
    _sync_folder(folder.parent.parent)


def _write_durably(path: Path, data: bytes | memoryview) -> None:
    """All or nothing: a crash leaves the old file, the new one, or a leftover ".tmp", never half a file by its name."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
