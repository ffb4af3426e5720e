"""Builds the ONNX graph of all-MiniLM-L6-v2 from its safetensors weights, and computes it a second time in NumPy.

The graph is standard ONNX in the forms that ONNX Runtime fuses on the CPU (BiasGelu, scaled MatMul).
Its fused Attention and SkipLayerNormalization operators are left alone on purpose: with the pinned release they were
slower than this graph, most of whose time is in matrix products (docs/models-sources.md has the figures).
The NumPy computation shares nothing with the graph but the weights: python/models/check_minilm.py compares the two.
"""
import json
import math
import os
import shutil
import struct

import numpy as np
from onnx import TensorProto, helper

import onnx_file

LAYERS, HIDDEN, HEADS = 6, 384, 12
HEAD_SIZE = HIDDEN // HEADS
EPSILON = 1e-12
MAX_TOKENS = 512


def load_safetensors(path: str) -> dict[str, np.ndarray]:
    """All FP32 tensors of the file by name."""
    with open(path, "rb") as f:
        (header_size,) = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(header_size))
        body = f.read()
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] != "F32":  # position_ids are I64 and only count upward.
            continue
        begin, end = entry["data_offsets"]
        tensors[name] = np.frombuffer(body[begin:end], dtype="<f4").reshape(entry["shape"])
    return tensors


class Graph:
    """Collects nodes and constants; each method adds one node and returns its output's name."""

    def __init__(self, weights: dict[str, np.ndarray]):
        self.weights = weights
        self.nodes = []
        self.initializers = {}

    def constant(self, name: str, array) -> str:
        if name not in self.initializers:
            self.initializers[name] = onnx_file.constant(name, array)
        return name

    def weight(self, name: str, transpose: bool = False) -> str:
        array = self.weights[name]
        return self.constant(name + ".T", array.T) if transpose else self.constant(name, array)

    def add(self, op: str, inputs: list[str], name: str, **attributes) -> str:
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def linear(self, x: str, prefix: str) -> str:
        product = self.add("MatMul", [x, self.weight(prefix + ".weight", transpose=True)], prefix + "/matmul")
        return self.add("Add", [product, self.weight(prefix + ".bias")], prefix + "/add")

    def layer_norm(self, x: str, prefix: str, name: str | None = None) -> str:
        inputs = [x, self.weight(prefix + ".weight"), self.weight(prefix + ".bias")]
        return self.add("LayerNormalization", inputs, name or prefix + "/norm", axis=-1, epsilon=EPSILON)

    def heads(self, x: str, name: str, permutation: list[int]) -> str:
        split = self.constant("shape/split_heads", np.array([0, 0, HEADS, HEAD_SIZE], np.int64))
        split_x = self.add("Reshape", [x, split], name + "/reshape")
        return self.add("Transpose", [split_x], name + "/transpose", perm=permutation)


def embeddings(g: Graph) -> str:
    words = g.add("Gather", [g.weight("embeddings.word_embeddings.weight"), "input_ids"], "embeddings/words", axis=0)
    kinds = g.add("Gather", [g.weight("embeddings.token_type_embeddings.weight"), "token_type_ids"],
                  "embeddings/kinds", axis=0)
    shape = g.add("Shape", ["input_ids"], "embeddings/shape")
    length = g.add("Gather", [shape, g.constant("index/1", np.array([1], np.int64))], "embeddings/length", axis=0)
    positions = g.add("Slice", [g.weight("embeddings.position_embeddings.weight"),
                                g.constant("index/0", np.array([0], np.int64)), length,
                                g.constant("index/0", np.array([0], np.int64))], "embeddings/positions")
    summed = g.add("Add", [g.add("Add", [words, kinds], "embeddings/words_kinds"), positions], "embeddings/sum")
    return g.layer_norm(summed, "embeddings.LayerNorm")


def attention_bias(g: Graph) -> str:
    """0 where there is a token and -10000 where there is padding, as [batch, 1, 1, seq]."""
    one = g.add("Unsqueeze", ["attention_mask", g.constant("axis/1", np.array([1], np.int64))], "mask/unsqueeze1")
    two = g.add("Unsqueeze", [one, g.constant("axis/2", np.array([2], np.int64))], "mask/unsqueeze2")
    cast = g.add("Cast", [two], "mask/cast", to=TensorProto.FLOAT)
    inverse = g.add("Sub", [g.constant("mask/one", np.array(1.0, np.float32)), cast], "mask/sub")
    return g.add("Mul", [inverse, g.constant("mask/low", np.array(-10000.0, np.float32))], "mask/mul")


def self_attention(g: Graph, x: str, bias: str, attention: str) -> str:
    q = g.heads(g.linear(x, attention + ".self.query"), attention + "/q", [0, 2, 1, 3])
    k = g.heads(g.linear(x, attention + ".self.key"), attention + "/k", [0, 2, 3, 1])
    v = g.heads(g.linear(x, attention + ".self.value"), attention + "/v", [0, 2, 1, 3])
    scores = g.add("MatMul", [q, k], attention + "/scores")
    scale = g.constant("attention/scale", np.array(math.sqrt(HEAD_SIZE), np.float32))
    scaled = g.add("Div", [scores, scale], attention + "/scaled")
    masked = g.add("Add", [scaled, bias], attention + "/masked")
    shares = g.add("Softmax", [masked], attention + "/softmax", axis=-1)
    mixed = g.add("MatMul", [shares, v], attention + "/mixed")
    turned = g.add("Transpose", [mixed], attention + "/turned", perm=[0, 2, 1, 3])
    merge = g.constant("shape/merge_heads", np.array([0, 0, HIDDEN], np.int64))
    merged = g.add("Reshape", [turned, merge], attention + "/merged")
    attended = g.linear(merged, attention + ".output.dense")
    return g.layer_norm(g.add("Add", [attended, x], attention + "/residual"), attention + ".output.LayerNorm")


def feed_forward(g: Graph, x: str, prefix: str, name: str | None) -> str:
    inner = g.linear(x, prefix + ".intermediate.dense")
    erf = g.add("Erf", [g.add("Div", [inner, g.constant("gelu/sqrt2", np.array(math.sqrt(2), np.float32))],
                              prefix + "/gelu_div")], prefix + "/gelu_erf")
    plus = g.add("Add", [erf, g.constant("gelu/one", np.array(1.0, np.float32))], prefix + "/gelu_add")
    times = g.add("Mul", [inner, plus], prefix + "/gelu_mul")
    gelu = g.add("Mul", [times, g.constant("gelu/half", np.array(0.5, np.float32))], prefix + "/gelu")
    outer = g.linear(gelu, prefix + ".output.dense")
    return g.layer_norm(g.add("Add", [outer, x], prefix + "/residual"), prefix + ".output.LayerNorm", name)


def pooled(g: Graph, hidden: str) -> None:
    """The mean over tokens that are not padding, scaled to length 1, as output `sentence_embedding`."""
    axis1 = g.constant("axis/1", np.array([1], np.int64))
    mask = g.add("Cast", ["attention_mask"], "pool/mask", to=TensorProto.FLOAT)
    row = g.add("Unsqueeze", [mask, axis1], "pool/row")
    total = g.add("Squeeze", [g.add("MatMul", [row, hidden], "pool/matmul"), axis1], "pool/total")
    # The mean's divisor cancels in the scaling to length 1, as long as the length itself is not rounded away; a row
    # without any token has a total of 0 and stays 0.
    length = g.add("ReduceL2", [total], "pool/length", axes=[-1], keepdims=1)
    floor = g.add("Max", [length, g.constant("pool/least", np.array([1e-9], np.float32))], "pool/floor")
    g.add("Div", [total, floor], "sentence_embedding")


def build(weights: dict[str, np.ndarray]):
    g = Graph(weights)
    x = embeddings(g)
    bias = attention_bias(g)
    for number in range(LAYERS):
        prefix = f"encoder.layer.{number}"
        x = self_attention(g, x, bias, prefix + ".attention")
        x = feed_forward(g, x, prefix, "last_hidden_state" if number == LAYERS - 1 else None)
    pooled(g, x)
    tokens = ["batch", "sequence"]
    inputs = [onnx_file.value(n, "INT64", tokens) for n in ("input_ids", "attention_mask", "token_type_ids")]
    outputs = [onnx_file.value("last_hidden_state", "FP32", ["batch", "sequence", HIDDEN]),
               onnx_file.value("sentence_embedding", "FP32", ["batch", HIDDEN])]
    return onnx_file.model("minilm", g.nodes, inputs, outputs, g.initializers.values())


def _erf(x: np.ndarray) -> np.ndarray:
    return np.vectorize(math.erf, otypes=[np.float64])(x)


def double_precision(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: array.astype(np.float64) for name, array in weights.items()}


def reference(w: dict[str, np.ndarray], ids: list[int]) -> np.ndarray:
    """The embedding of one unpadded sentence with plain NumPy, in the precision of the weights `w`."""

    def norm(x, prefix):
        centred = x - x.mean(-1, keepdims=True)
        spread = np.sqrt((centred**2).mean(-1, keepdims=True) + EPSILON)
        return centred / spread * w[prefix + ".weight"] + w[prefix + ".bias"]

    def linear(x, prefix):
        return np.einsum("si,oi->so", x, w[prefix + ".weight"], optimize=True) + w[prefix + ".bias"]

    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.token_type_embeddings.weight"][0]
    x = norm(x + w["embeddings.position_embeddings.weight"][np.arange(len(ids))], "embeddings.LayerNorm")
    for number in range(LAYERS):
        p = f"encoder.layer.{number}"
        q, k, v = (linear(x, f"{p}.attention.self.{part}").reshape(len(ids), HEADS, HEAD_SIZE)
                   for part in ("query", "key", "value"))
        scores = np.einsum("ihd,jhd->hij", q, k, optimize=True) / math.sqrt(HEAD_SIZE)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        mixed = np.einsum("hij,jhd->ihd", shares, v, optimize=True).reshape(len(ids), HIDDEN)
        x = norm(x + linear(mixed, p + ".attention.output.dense"), p + ".attention.output.LayerNorm")
        inner = linear(x, p + ".intermediate.dense")
        gelu = inner * 0.5 * (1 + _erf(inner / math.sqrt(2)))
        x = norm(x + linear(gelu, p + ".output.dense"), p + ".output.LayerNorm")
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


def write_model(download: str, folder: str) -> None:
    """Writes the served model folder from the unpacked package in `download`: the graph and what a tokenizer needs."""
    proto = build(load_safetensors(os.path.join(download, "model.safetensors")))
    onnx_file.write(os.path.join(folder, "1"), proto)
    for name in ("vocab.txt", "tokenizer_config.json"):
        shutil.copyfile(os.path.join(download, name), os.path.join(folder, "1", name))
