"""Small models that exercise the protocol, the scheduler and the loader. All weights come from fixed seeds.

Three repositories in Triton's layout: `testmodels` (all load, a few kB each), `badmodels` (each fails for one reason)
and `benchmodels` (large files for loading and eviction). README.md beside this file lists them.
"""
import os

import numpy as np
from onnx import TensorProto, helper

import onnx_file
from onnx_file import constant, model, value, write, write_text


def node(op: str, inputs, outputs, **attributes):
    return helper.make_node(op, inputs, outputs, **attributes)


def uniform(seed: int, *shape: int) -> np.ndarray:
    """FP32 in [-1, 1) / sqrt(rows): products neither vanish nor blow up."""
    values = np.random.Generator(np.random.PCG64(seed)).random(shape, dtype=np.float32)
    return (values * 2 - 1) / np.float32(np.sqrt(shape[0]))


def tensor_config(kind: str, tensors) -> str:
    entries = ",\n".join(f'  {{ name: "{name}" data_type: TYPE_{datatype} dims: [ {dims} ]{more} }}'
                         for name, datatype, dims, more in tensors)
    return f"{kind} [\n{entries}\n]\n"


def config(name: str, inputs, outputs, batch: int = 8, more: str = "") -> str:
    """A config.pbtxt; a tensor is (name, Triton type without TYPE_, dims, further fields)."""
    head = f'name: "{name}"\nplatform: "onnxruntime_onnx"\nmax_batch_size: {batch}\n'
    return head + tensor_config("input", inputs) + tensor_config("output", outputs) + more


def pairs(datatype: str, names, dims="16", more=""):
    return [(name, datatype, dims, more) for name in names]


IN, OUT = ("INPUT0", "INPUT1"), ("OUTPUT0", "OUTPUT1")


def add_sub(datatype: str, shape):
    """OUTPUT0 = INPUT0 + INPUT1, OUTPUT1 = INPUT0 - INPUT1."""
    return model("add_sub", [node("Add", IN, ["OUTPUT0"]), node("Sub", IN, ["OUTPUT1"])],
                 [value(name, datatype, shape) for name in IN], [value(name, datatype, shape) for name in OUT])


def string_add_sub():
    """The same with decimal numbers as text."""
    nodes = [node("Cast", [name], [name + "/number"], to=TensorProto.INT32) for name in IN]
    numbers = [name + "/number" for name in IN]
    nodes += [node("Add", numbers, ["sum"]), node("Sub", numbers, ["difference"])]
    nodes += [node("Cast", ["sum"], ["OUTPUT0"], to=TensorProto.STRING),
              node("Cast", ["difference"], ["OUTPUT1"], to=TensorProto.STRING)]
    shape = ["batch", 16]
    return model("simple_string", nodes, [value(name, "BYTES", shape) for name in IN],
                 [value(name, "BYTES", shape) for name in OUT])


def identity(datatype: str):
    shape = ["rows", "columns"]
    return model(f"identity_{datatype.lower()}", [node("Identity", ["INPUT0"], ["OUTPUT0"])],
                 [value("INPUT0", datatype, shape)], [value("OUTPUT0", datatype, shape)])


def dense(name: str, seed: int, widths: list[int], weights_file: str | None = None):
    """FP32 layers with ReLU between them: `input` [batch, first width] to `output` [batch, last width]."""
    nodes, initializers, x = [], [], "input"
    for number in range(len(widths) - 1):
        last = number == len(widths) - 2
        y = "output" if last else f"layer{number}"
        initializers += [constant(f"w{number}", uniform(seed + number, widths[number], widths[number + 1])),
                         constant(f"b{number}", uniform(seed + 1000 + number, widths[number + 1]))]
        nodes.append(node("Gemm", [x, f"w{number}", f"b{number}"], [y if last else y + "/linear"]))
        if not last:
            nodes.append(node("Relu", [y + "/linear"], [y]))
        x = y
    return model(name, nodes, [value("input", "FP32", ["batch", widths[0]])],
                 [value("output", "FP32", ["batch", widths[-1]])], initializers)


def loop_body():
    """One step of work: state = tanh(state x W) on a 128 x 128 matrix, about 4.2 million multiplications."""
    nodes = [node("MatMul", ["state_in", "work/weights"], ["product"]), node("Tanh", ["product"], ["state_out"]),
             node("Identity", ["go_in"], ["go_out"])]
    matrix = [128, 128]
    return helper.make_graph(nodes, "step",
                             [helper.make_tensor_value_info("step", TensorProto.INT64, []),
                              helper.make_tensor_value_info("go_in", TensorProto.BOOL, []),
                              helper.make_tensor_value_info("state_in", TensorProto.FLOAT, matrix)],
                             [helper.make_tensor_value_info("go_out", TensorProto.BOOL, []),
                              helper.make_tensor_value_info("state_out", TensorProto.FLOAT, matrix)])


def work(steps: str, seed: str) -> tuple[list, list]:
    """Nodes that work `steps` times from the scalar FP32 `seed`, ending in the INT64 scalar `work/zero`.

    The end state lies in (-1, 1), so its mean as an integer is 0: adding it makes the answer wait for the work
    without changing it, and no optimiser can know.
    """
    nodes = [node("Add", ["work/start", seed], ["work/state"]),
             node("Loop", [steps, "", "work/state"], ["work/end"], body=loop_body()),
             node("Tanh", ["work/end"], ["work/bounded"]),
             node("ReduceMean", ["work/bounded"], ["work/mean"], keepdims=0),
             node("Cast", ["work/mean"], ["work/zero"], to=TensorProto.INT64)]
    return nodes, [constant("work/start", uniform(7, 128, 128)), constant("work/weights", uniform(8, 128, 128))]


def delay(reduce: str):
    """DONE = STEPS after as many steps as the batch's longest item (`ReduceMax`) or all items (`ReduceSum`) ask for."""
    nodes, initializers = work("steps", "seed")
    first = [node(reduce, ["STEPS"], ["steps"], keepdims=0),
             node("Cast", ["steps"], ["steps/float"], to=TensorProto.FLOAT),
             node("Tanh", ["steps/float"], ["seed"])]
    last = [node("Add", ["STEPS", "work/zero"], ["DONE"])]
    return model("delay", first + nodes + last, [value("STEPS", "INT64", ["batch", 1])],
                 [value("DONE", "INT64", ["batch", 1])], initializers)


def fixed_delay(steps: int):
    """OUTPUT = INPUT after `steps` steps, however large the batch is."""
    nodes, initializers = work("steps", "seed")
    first = [node("ReduceMean", ["INPUT"], ["mean"], keepdims=0), node("Tanh", ["mean"], ["seed"])]
    last = [node("Cast", ["work/zero"], ["zero"], to=TensorProto.FLOAT), node("Add", ["INPUT", "zero"], ["OUTPUT"])]
    initializers.append(constant("steps", np.array(steps, np.int64)))
    return model("fixed_delay", first + nodes + last, [value("INPUT", "FP32", ["batch", 1])],
                 [value("OUTPUT", "FP32", ["batch", 1])], initializers)


def ragged_mean():
    """MEAN over the sequence: padding with zeros would change the answer."""
    return model("ragged_mean", [node("ReduceMean", ["VALUES"], ["MEAN"], axes=[1], keepdims=1)],
                 [value("VALUES", "FP32", ["batch", "sequence"])], [value("MEAN", "FP32", ["batch", 1])])


def ragged_masked():
    """MEAN over the values whose MASK is 1: padding both with zeros does not change the answer."""
    nodes = [node("Mul", ["VALUES", "MASK"], ["kept"]), node("ReduceSum", ["kept", "axis"], ["total"], keepdims=1),
             node("ReduceSum", ["MASK", "axis"], ["count"], keepdims=1), node("Div", ["total", "count"], ["MEAN"])]
    shape = ["batch", "sequence"]
    return model("ragged_masked", nodes, [value("VALUES", "FP32", shape), value("MASK", "FP32", shape)],
                 [value("MEAN", "FP32", ["batch", 1])], [constant("axis", np.array([1], np.int64))])


def gather():
    """VALUE = (10, 20, 30, 40)[INDEX]; an INDEX outside 0..3 makes the run fail, with the whole batch."""
    return model("gather", [node("Gather", ["table", "INDEX"], ["VALUE"])], [value("INDEX", "INT64", ["batch", 1])],
                 [value("VALUE", "FP32", ["batch", 1])], [constant("table", np.array([10, 20, 30, 40], np.float32))])


def unary(op: str, shape, out_shape=None, datatype="FP32", out_datatype=None, **attributes):
    return model(op.lower(), [node(op, ["INPUT"], ["OUTPUT"], **attributes)], [value("INPUT", datatype, shape)],
                 [value("OUTPUT", out_datatype or datatype, out_shape or shape)])


def plus(number: float):
    return model("plus", [node("Add", ["INPUT", "number"], ["OUTPUT"])], [value("INPUT", "FP32", ["batch", 1])],
                 [value("OUTPUT", "FP32", ["batch", 1])], [constant("number", np.array([number], np.float32))])


def external(location: str):
    """`dense` 64 to 64 whose weights lie in the file `location`, relative to the model's folder."""
    proto = dense("external", 21, [64, 64])
    weights = proto.graph.initializer[0]
    data = weights.raw_data
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    for key, text in (("location", location), ("offset", "0"), ("length", str(len(data)))):
        entry = weights.external_data.add()
        entry.key, entry.value = key, text
    return proto, data


def write_bytes(path: str, data: bytes) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)


TUNED = """version_policy { latest { num_versions: 2 } }
instance_group [ { count: 2 kind: KIND_CPU } ]
dynamic_batching {
  preferred_batch_size: [ 4, 8 ]
  max_queue_delay_microseconds: 200
  priority_levels: 3
  default_priority_level: 2
  default_queue_policy {
    timeout_action: REJECT
    default_timeout_microseconds: 1000000
    allow_timeout_override: true
    max_queue_size: 64
  }
}
parameters { key: "owner" value { string_value: "tests" } }
model_warmup [ {
  name: "zeros" batch_size: 1
  inputs { key: "INPUT0" value { data_type: TYPE_INT32 dims: [ 16 ] zero_data: true } }
  inputs { key: "INPUT1" value { data_type: TYPE_INT32 dims: [ 16 ] zero_data: true } }
} ]
"""


def write_testmodels(root: str) -> None:
    def put(name, proto, version=1, pbtxt=None):
        write(os.path.join(root, name, str(version)), proto)
        if pbtxt:
            write_text(os.path.join(root, name, "config.pbtxt"), pbtxt)

    int32_pairs = (pairs("INT32", IN), pairs("INT32", OUT))
    put("simple", add_sub("INT32", ["batch", 16]), pbtxt=config("simple", *int32_pairs))
    put("simple_plain", add_sub("INT32", ["batch", 16]))
    put("simple_tuned", add_sub("INT32", ["batch", 16]), pbtxt=config("simple_tuned", *int32_pairs, more=TUNED))
    put("simple_string", string_add_sub(), pbtxt=config("simple_string", pairs("STRING", IN), pairs("STRING", OUT)))
    put("add_sub", add_sub("FP32", ["batch", 16]))
    put("add_sub_fixed", add_sub("FP32", [16]))
    for datatype in onnx_file.ELEMENT_TYPES:
        put(f"identity_{datatype.lower()}", identity(datatype))
    put("mlp", dense("mlp", 1, [256, 256, 16]))
    put("delay", delay("ReduceMax"))
    put("delay_sum", delay("ReduceSum"))
    put("delay_short", fixed_delay(20))
    put("delay_long", fixed_delay(400))
    put("ragged_mean", ragged_mean())
    put("ragged_masked", ragged_masked())
    put("gather", gather())
    put("nonzero", unary("NonZero", ["n"], [1, "found"], out_datatype="INT64"))
    put("scalar", unary("Neg", []))
    put("fixed_batch", unary("Neg", [4, 3]))
    for version in (1, 2, 3):
        put("versioned", plus(version), version)
        put("versioned_all", plus(version), version, config("versioned_all", pairs("FP32", ["INPUT"], "1"),
            pairs("FP32", ["OUTPUT"], "1"), more="version_policy { all { } }\n"))
    labels = ' label_filename: "labels.txt"'
    put("classifier", unary("Softmax", ["batch", 4], axis=-1),
        pbtxt=config("classifier", pairs("FP32", ["INPUT"], "4"), pairs("FP32", ["OUTPUT"], "4", labels)))
    write_text(os.path.join(root, "classifier", "labels.txt"), "cat\ndog\nbird\nfish\n")
    proto, data = external("weights.bin")
    write(os.path.join(root, "external_data", "1"), proto, check=False)  # The checker would look for weights.bin here.
    write_bytes(os.path.join(root, "external_data", "1", "weights.bin"), data)


def write_badmodels(root: str) -> None:
    def put(name, proto, pbtxt=None):
        write(os.path.join(root, name, "1"), proto, check=False)
        if pbtxt:
            write_text(os.path.join(root, name, "config.pbtxt"), pbtxt)

    good = add_sub("INT32", ["batch", 16])
    ins, outs = pairs("INT32", IN), pairs("INT32", OUT)
    whole = dense("broken", 31, [64, 64]).SerializeToString(deterministic=True)
    write_bytes(os.path.join(root, "broken", "1", "model.onnx"), whole[: len(whole) // 2])
    write_bytes(os.path.join(root, "empty_file", "1", "model.onnx"), b"")
    write_text(os.path.join(root, "no_version", "labels.txt"), "none\n")
    put("missing_op", unary("NoSuchOperator", ["batch", 4]))
    mismatch = model("type_mismatch", [node("Add", IN, ["OUTPUT0"])],
                     [value("INPUT0", "INT32", ["batch", 4]), value("INPUT1", "FP32", ["batch", 4])],
                     [value("OUTPUT0", "FP32", ["batch", 4])])
    put("type_mismatch", mismatch)
    proto, data = external("../outside.bin")
    put("external_escape", proto)
    write_bytes(os.path.join(root, "external_escape", "outside.bin"), data)
    put("external_missing", external("nowhere.bin")[0])
    put("config_wrong_shape", good, config("config_wrong_shape", pairs("INT32", IN, "8"), outs))
    put("config_wrong_type", good, config("config_wrong_type", pairs("FP32", IN), outs))
    put("config_wrong_name", good, config("config_wrong_name", [ins[0], ("INPUT2", "INT32", "16", "")], outs))
    put("config_syntax", good, config("config_syntax", ins, outs).replace("]", "", 1))
    put("config_unknown_field", good, config("config_unknown_field", ins, outs, more="max_bach_size: 8\n"))
    put("unsupported_sequence", good, config("unsupported_sequence", ins, outs, more="sequence_batching { }\n"))
    put("unsupported_decoupled", good, config("unsupported_decoupled", ins, outs,
        more="model_transaction_policy { decoupled: true }\n"))
    step = ('ensemble_scheduling { step [ { model_name: "simple" model_version: -1\n'
            '  input_map { key: "INPUT0" value: "INPUT0" } output_map { key: "OUTPUT0" value: "OUTPUT0" } } ] }\n')
    put("unsupported_ensemble", good, config("unsupported_ensemble", ins, outs, more=step)
        .replace("onnxruntime_onnx", "ensemble"))
    put("unsupported_backend", good, config("unsupported_backend", ins, outs)
        .replace('platform: "onnxruntime_onnx"', 'backend: "python"'))


def write_benchmodels(root: str) -> None:
    """`big_90mb`: ten layers of 1500 x 1500 FP32 (90.06 MB). `small_3mb`: three of 512 x 512 (3.15 MB)."""
    write(os.path.join(root, "big_90mb", "1"), dense("big", 41, [1500] * 11))
    write(os.path.join(root, "small_3mb", "1"), dense("small", 61, [512] * 4))


def write_all(target: str) -> None:
    write_testmodels(os.path.join(target, "testmodels"))
    write_badmodels(os.path.join(target, "badmodels"))
    write_benchmodels(os.path.join(target, "benchmodels"))
