"""Writes small ONNX files without the onnx package: protobuf's wire format with the fields that the tests need."""

import struct

FLOAT, INT64, BOOL = 1, 7, 9


def varint(value):
    value &= (1 << 64) - 1
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def number(field, value):
    return varint(field << 3) + varint(value)


def text(field, value):
    value = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(value)) + value


def tensor(name, kind, dims, values):
    raw = struct.pack(f"<{len(values)}{'f' if kind == FLOAT else 'q'}", *values)
    return b"".join(number(1, dim) for dim in dims) + number(2, kind) + text(8, name) + text(9, raw)


def external_tensor(name, dims, location):
    return (b"".join(number(1, dim) for dim in dims) + number(2, FLOAT) + text(8, name) +
            text(13, text(1, "location") + text(2, location)) + number(14, 1))


def value(name, kind, dims):
    """An input or output; a text among `dims` is a symbol."""
    shape = b"".join(text(1, text(2, dim) if isinstance(dim, str) else number(1, dim)) for dim in dims)
    return text(1, name) + text(2, text(1, number(1, kind) + text(2, shape)))


def node(op, inputs, outputs, attributes=(), domain=""):
    return (b"".join(text(1, name) for name in inputs) + b"".join(text(2, name) for name in outputs) + text(4, op) +
            b"".join(text(5, one) for one in attributes) + (text(7, domain) if domain else b""))


def graph_attribute(name, body):
    return text(1, name) + text(6, body) + number(20, 5)


def graph(nodes, inputs, outputs, initializers=()):
    return (b"".join(text(1, one) for one in nodes) + text(2, "test") +
            b"".join(text(5, one) for one in initializers) + b"".join(text(11, one) for one in inputs) +
            b"".join(text(12, one) for one in outputs))


def model(nodes, inputs, outputs, initializers=(), domains=()):
    opsets = text(8, text(1, "") + number(2, 17)) + b"".join(text(8, text(1, one) + number(2, 1)) for one in domains)
    return number(1, 8) + text(7, graph(nodes, inputs, outputs, initializers)) + opsets


def times(factor, width=4, out="y"):
    """y = x · factor, for x FP32 [batch, width]."""
    return model([node("Mul", ["x", "f"], [out])], [value("x", FLOAT, ["batch", width])],
                 [value(out, FLOAT, ["batch", width])], [tensor("f", FLOAT, [1], [factor])])


def endless():
    """y = sin(sin(… x)), 2^62 times."""
    body = graph([node("Sin", ["v_in"], ["v_out"]), node("Identity", ["c_in"], ["c_out"])],
                 [value("i", INT64, []), value("c_in", BOOL, []), value("v_in", FLOAT, ["batch", 4])],
                 [value("c_out", BOOL, []), value("v_out", FLOAT, ["batch", 4])])
    loop = node("Loop", ["n", "", "x"], ["y"], [graph_attribute("body", body)])
    return model([loop], [value("x", FLOAT, ["batch", 4])], [value("y", FLOAT, ["batch", 4])],
                 [tensor("n", INT64, [], [1 << 62])])


def greedy():
    """Needs 32 GiB for a run of one row: a shape that is known at the run only, filled with zeros."""
    nodes = [node("Shape", ["x"], ["s"]), node("Mul", ["s", "large"], ["t"]), node("ConstantOfShape", ["t"], ["z"]),
             node("ReduceSum", ["z"], ["y"])]
    return model(nodes, [value("x", FLOAT, ["batch", 4])], [value("y", FLOAT, [1, 1])],
                 [tensor("large", INT64, [2], [1 << 31, 1])])
