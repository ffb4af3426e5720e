"""Writing ONNX files that are the same bytes every time."""
import os

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8

# The v2 protocol's name of each element type that ONNX has too.
ELEMENT_TYPES = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "BF16": TensorProto.BFLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}


def value(name: str, datatype: str, shape) -> onnx.ValueInfoProto:
    """A graph input or output; a string in `shape` is a named dynamic dimension."""
    return helper.make_tensor_value_info(name, ELEMENT_TYPES[datatype], shape)


def constant(name: str, array) -> onnx.TensorProto:
    return numpy_helper.from_array(np.ascontiguousarray(array), name)


def model(name: str, nodes, inputs, outputs, initializers=(), opset: int = OPSET) -> onnx.ModelProto:
    graph = helper.make_graph(list(nodes), name, list(inputs), list(outputs), list(initializers))
    result = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], producer_name="mezzo")
    result.ir_version = IR_VERSION
    return result


def write(folder: str, proto: onnx.ModelProto, check: bool = True) -> str:
    """Writes `folder`/model.onnx and returns its path."""
    if check:
        onnx.checker.check_model(proto)
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "model.onnx")
    with open(path, "wb") as f:
        f.write(proto.SerializeToString(deterministic=True))
    return path


def write_text(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
