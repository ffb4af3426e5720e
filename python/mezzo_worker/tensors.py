"""Tensors between numpy and the bytes that the server keeps them in."""

import dataclasses
import struct

import numpy as np

# BF16 has no type in numpy: its bits come and go as unsigned integers.
_NUMPY_TYPES = {
    "BOOL": np.dtype(np.bool_), "UINT8": np.dtype(np.uint8), "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32), "UINT64": np.dtype(np.uint64), "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16), "INT32": np.dtype(np.int32), "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16), "BF16": np.dtype(np.uint16), "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64), "BYTES": np.dtype(object),
}
_ELEMENT_LENGTH = struct.Struct("<I")
ALIGNMENT = 64


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """An input or output as a model declares it.

    `datatype` is the protocol's name ("FP32", "BYTES"); a dimension of -1 in `shape` may vary. A model whose inputs and
    outputs all begin with -1 gets several requests in one call.
    """

    name: str
    datatype: str
    shape: list
    optional: bool = False

    def __post_init__(self):
        if self.datatype not in _NUMPY_TYPES:
            raise ValueError(f"'{self.name}' has the datatype '{self.datatype}'; known are {', '.join(_NUMPY_TYPES)}")
        if any(not isinstance(d, int) or (d < 1 and d != -1) for d in self.shape):
            raise ValueError(f"'{self.name}' has the shape {self.shape}; dimensions are at least 1, or -1")

    def to_json(self) -> dict:
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape), "optional": self.optional}

    @staticmethod
    def from_json(fields: dict) -> "TensorSpec":
        return TensorSpec(fields["name"], fields["datatype"], list(fields["shape"]), bool(fields["optional"]))

    def check(self, array: np.ndarray) -> None:
        """Raises ValueError unless `array` is of this type and shape."""
        expected = _NUMPY_TYPES[self.datatype]
        if array.dtype != expected:
            raise ValueError(f"'{self.name}' is {array.dtype}, but declared {self.datatype} ({expected})")
        fits = len(array.shape) == len(self.shape) and all(
            declared in (-1, actual) for declared, actual in zip(self.shape, array.shape))
        if not fits:
            raise ValueError(f"'{self.name}' has the shape {list(array.shape)}, but declared is {list(self.shape)}")


def decode(buffer, description: dict) -> np.ndarray:
    """The tensor that `description` (datatype, shape, offset, bytes) says lies in `buffer`: a view, read-only when the
    buffer is, except for BYTES, which become an array of `bytes` objects. Raises ValueError when it does not fit."""
    dtype = _NUMPY_TYPES[description["datatype"]]
    offset, size = description["offset"], description["bytes"]
    if offset < 0 or size < 0 or offset + size > len(buffer):
        raise ValueError("a tensor lies outside of its memory")
    if dtype == object:
        array = np.empty(description["shape"], dtype=object)
        array.reshape(-1)[:] = _split_elements(bytes(buffer[offset:offset + size]), array.size)
        return array
    return np.frombuffer(buffer, dtype, size // dtype.itemsize, offset).reshape(description["shape"])


def encoded_size(array: np.ndarray) -> int:
    """Bytes that write() takes."""
    if array.dtype == object:
        return sum(_ELEMENT_LENGTH.size + len(_element(item)) for item in array.reshape(-1))
    return array.nbytes


def write(buffer, offset: int, array: np.ndarray) -> None:
    """Copies `array` to `buffer[offset:]`, which has room for it."""
    if array.dtype == object:
        for item in array.reshape(-1):
            data = _element(item)
            buffer[offset:offset + _ELEMENT_LENGTH.size] = _ELEMENT_LENGTH.pack(len(data))
            offset += _ELEMENT_LENGTH.size
            buffer[offset:offset + len(data)] = data
            offset += len(data)
    elif array.size > 0:
        np.copyto(np.frombuffer(buffer, array.dtype, array.size, offset).reshape(array.shape), array)


def as_array(value, datatype: str) -> np.ndarray:
    """`value` as numpy has it; strings and bytes become an array of objects where BYTES are declared."""
    if datatype == "BYTES" and not isinstance(value, np.ndarray):
        items = np.asarray(value, dtype=object)
        return items
    array = np.asarray(value)
    return array.astype(object) if array.dtype.kind in "SU" else array


def aligned(offset: int) -> int:
    """The next multiple of ALIGNMENT."""
    return (offset + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT


def _element(item) -> bytes:
    if isinstance(item, str):
        return item.encode()
    if isinstance(item, (bytes, bytearray, memoryview)):
        return bytes(item)
    raise ValueError(f"an element of a BYTES tensor is {type(item).__name__}, not bytes or str")


def _split_elements(data: bytes, count: int) -> list:
    elements, at = [], 0
    for _ in range(count):
        (length,) = _ELEMENT_LENGTH.unpack_from(data, at)
        at += _ELEMENT_LENGTH.size
        elements.append(data[at:at + length])
        at += length
    return elements
