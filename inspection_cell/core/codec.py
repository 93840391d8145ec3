"""Core types as JSON and back, without loss: what records, bags and the page store and send.

A dataclass becomes an object with exactly its fields. Enums go by name, arrays as {"shape", "values"} (float64, row by
row), tuples as lists, and the floats that JSON lacks as the strings "nan", "inf" and "-inf". Decoding is strict: a
missing field, an unknown field or a value of another type is an error that names the field.
"""

from __future__ import annotations

import json
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")

_SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class CodecError(ValueError):
    """A value does not fit its type; the message names the field by its path."""


def encode(value: Any) -> dict[str, Any]:
    """A dataclass of core as a dict that `json.dumps(..., allow_nan=False)` accepts.

    Raises:
        CodecError: it is no dataclass, or a field holds something its type does not allow.
    """
    if not is_dataclass(value) or isinstance(value, type):
        raise CodecError(f"{type(value).__name__} is no dataclass instance: only core types are encoded")
    return _encode(value, type(value), type(value).__name__)


def decode(cls: type[T], data: Any) -> T:
    """The dataclass `cls` from what `encode` gave.

    Raises:
        CodecError: a field is missing, unknown or of another type.
    """
    return _decode(data, cls, cls.__name__)


def to_json(value: Any) -> str:
    """A dataclass of core as one line of standard JSON."""
    return json.dumps(encode(value), allow_nan=False, separators=(",", ":"))


def from_json(cls: type[T], text: str) -> T:
    """The dataclass `cls` from `to_json`'s text.

    Raises:
        CodecError: the text is no JSON, or does not hold a `cls`.
    """
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise CodecError(f"{cls.__name__}: not JSON: {error}") from error
    return decode(cls, data)


@cache
def _field_types(cls: Any) -> Mapping[str, Any]:
    hints = typing.get_type_hints(cls)
    return {f.name: hints[f.name] for f in fields(cls)}


def _wrong(path: str, wanted: str, value: Any) -> CodecError:
    return CodecError(f"{path}: needs {wanted}, found {type(value).__name__} {value!r:.80}")


def _optional(kind: Any) -> Any:
    """The X of `X | None`, else None."""
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        inner = [a for a in typing.get_args(kind) if a is not type(None)]
        if len(inner) == 1:
            return inner[0]
    return None


def _item_types(kind: Any, length: int, path: str) -> list[Any]:
    """The type of each item of a tuple of `length` items."""
    arguments = typing.get_args(kind)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return [arguments[0]] * length
    if len(arguments) != length:
        raise CodecError(f"{path}: needs {len(arguments)} items, found {length}")
    return list(arguments)


def _encode(value: Any, kind: Any, path: str) -> Any:
    if (inner := _optional(kind)) is not None:
        return None if value is None else _encode(value, inner, path)
    origin = typing.get_origin(kind)
    if origin is np.ndarray:
        return _encode_array(value, path)
    if origin is tuple:
        if not isinstance(value, tuple):
            raise _wrong(path, "a tuple", value)
        kinds = _item_types(kind, len(value), path)
        return [_encode(v, k, f"{path}[{i}]") for i, (v, k) in enumerate(zip(value, kinds, strict=True))]
    if origin is dict:
        if not isinstance(value, dict):
            raise _wrong(path, "a dict", value)
        return {_scalar(k, str, path): _encode(v, typing.get_args(kind)[1], f"{path}[{k!r}]") for k, v in value.items()}
    if is_dataclass(kind):
        if type(value) is not kind:
            raise _wrong(path, getattr(kind, "__name__", str(kind)), value)
        return {n: _encode(getattr(value, n), k, f"{path}.{n}") for n, k in _field_types(type(value)).items()}
    if issubclass(kind, Enum):
        if not isinstance(value, kind):
            raise _wrong(path, kind.__name__, value)
        return value.name
    plain = _scalar(value.item() if isinstance(value, np.generic) else value, kind, path)
    if isinstance(plain, float) and not math.isfinite(plain):
        return "nan" if math.isnan(plain) else "inf" if plain > 0 else "-inf"
    return plain


def _encode_array(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu" or value.dtype.itemsize > 8:
        raise _wrong(path, "a numeric array", value)
    flat = [_encode(v, float, path) for v in value.astype(np.float64).ravel().tolist()]
    return {"shape": list(value.shape), "values": flat}


def _decode(data: Any, kind: Any, path: str) -> Any:
    if (inner := _optional(kind)) is not None:
        return None if data is None else _decode(data, inner, path)
    origin = typing.get_origin(kind)
    if origin is np.ndarray:
        return _decode_array(data, path)
    if origin is tuple:
        if not isinstance(data, list):
            raise _wrong(path, "a list", data)
        kinds = _item_types(kind, len(data), path)
        return tuple(_decode(v, k, f"{path}[{i}]") for i, (v, k) in enumerate(zip(data, kinds, strict=True)))
    if origin is dict:
        if not isinstance(data, dict):
            raise _wrong(path, "an object", data)
        return {_scalar(k, str, path): _decode(v, typing.get_args(kind)[1], f"{path}[{k!r}]") for k, v in data.items()}
    if is_dataclass(kind):
        return _decode_dataclass(data, kind, path)
    if issubclass(kind, Enum):
        if not isinstance(data, str) or data not in kind.__members__:
            raise _wrong(path, f"one of {', '.join(kind.__members__)}", data)
        return kind[data]
    if kind is float and isinstance(data, str) and data in _SPECIAL:
        return _SPECIAL[data]
    return _scalar(data, kind, path)


def _decode_dataclass(data: Any, cls: Any, path: str) -> Any:
    if not isinstance(data, dict):
        raise _wrong(path, f"an object ({cls.__name__})", data)
    kinds = _field_types(cls)
    missing, unknown = kinds.keys() - data.keys(), data.keys() - kinds.keys()
    if missing or unknown:
        parts = [
            f"{word} {', '.join(sorted(map(str, n)))}" for word, n in (("lacks", missing), ("unknown", unknown)) if n
        ]
        raise CodecError(f"{path}: {'; '.join(parts)}")
    values = {n: _decode(data[n], k, f"{path}.{n}") for n, k in kinds.items()}
    try:
        return cls(**values)
    except ValueError as error:
        raise CodecError(f"{path}: {error}") from error


def _decode_array(data: Any, path: str) -> np.ndarray:
    if not isinstance(data, dict) or data.keys() != {"shape", "values"} or not isinstance(data["values"], list):
        raise _wrong(path, 'an object with "shape" and "values"', data)
    shape = data["shape"]
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise _wrong(f"{path}.shape", "a list of sizes", shape)
    values = np.array([_decode(v, float, path) for v in data["values"]], np.float64)
    if values.size != math.prod(shape):
        raise CodecError(f"{path}: shape {shape} needs {math.prod(shape)} values, found {values.size}")
    return values.reshape(shape)


def _scalar(value: Any, kind: Any, path: str) -> Any:
    """`value` as bool, int, float or str; a whole number may stand for a float, nothing else is converted."""
    if kind is float and type(value) is int:
        return float(value)
    if kind not in (bool, int, float, str) or type(value) is not kind:
        raise _wrong(path, getattr(kind, "__name__", str(kind)), value)
    return value
