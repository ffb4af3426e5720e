#!/usr/bin/env python3
"""Runs every test model once in ONNX Runtime and compares with NumPy; bad graphs must fail to load.

    .cache/venv/bin/python python/models/check_testmodels.py [--cache .cache]
"""
import argparse
import os
import sys
import time

import ml_dtypes
import numpy as np
import onnxruntime

import onnx_file

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NUMPY_TYPES = {"BOOL": np.bool_, "FP16": np.float16, "FP32": np.float32, "FP64": np.float64, "BYTES": np.object_}
# The graph itself is at fault; the other bad models are so by their config.pbtxt or by where their weights lie.
BAD_GRAPHS = ("broken", "empty_file", "missing_op", "type_mismatch", "external_escape", "external_missing")


def session(path: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def expect(name: str, got, wanted) -> None:
    if not np.array_equal(np.asarray(got), np.asarray(wanted)):
        raise SystemExit(f"{name}: got {got!r}, wanted {wanted!r}")


def check_identity(name: str, run) -> None:
    datatype = name.removeprefix("identity_").upper()
    if datatype == "BF16":
        values = np.array([[1.5, -2.0, 0.0]], ml_dtypes.bfloat16)
        given = onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(values.view(np.uint16),
                                                                        onnx_file.ELEMENT_TYPES["BF16"])
        (got,) = run.run_with_ort_values(None, {"INPUT0": given})
        if got.data_type() != "tensor(bfloat16)" or got.shape() != [1, 3]:
            raise SystemExit(f"{name}: got {got.data_type()} {got.shape()}")
        return
    element = NUMPY_TYPES.get(datatype) or np.dtype(datatype.lower())
    text = np.array([["a", "", "ünï"], ["0", "x" * 1000, "z"]], np.object_)
    values = text if datatype == "BYTES" else np.array([[0, 1, 2], [3, 4, 100]]).astype(element)
    expect(name, run.run(None, {"INPUT0": values})[0], values)
    empty = np.zeros((0, 3), element)
    expect(name, run.run(None, {"INPUT0": empty})[0].shape, empty.shape)


def check_named(name: str, run) -> None:
    numbers = np.arange(32, dtype=np.int32).reshape(2, 16)
    column = np.array([[1.0], [2.0]], np.float32)
    if name.startswith(("simple", "add_sub")):
        a, b = numbers, numbers[::-1].copy()
        if name == "add_sub_fixed":
            a, b = a[0], b[0]
        if name.startswith("add_sub"):
            a, b = a.astype(np.float32), b.astype(np.float32)
        wanted = [a + b, a - b]
        if name == "simple_string":
            a, b = a.astype(str).astype(np.object_), b.astype(str).astype(np.object_)
            wanted = [array.astype(str).astype(np.object_) for array in wanted]
        for got, want in zip(run.run(None, {"INPUT0": a, "INPUT1": b}), wanted):
            expect(name, got, want)
    elif name in ("delay", "delay_sum"):
        steps = np.array([[3], [5]], np.int64)
        expect(name, run.run(None, {"STEPS": steps})[0], steps)
        for count in (0, 1000):
            started = time.perf_counter()
            run.run(None, {"STEPS": np.array([[count]], np.int64)})
            print(f"{name}: {count} steps take {(time.perf_counter() - started) * 1e3:.2f} ms")
    elif name in ("delay_short", "delay_long"):
        started = time.perf_counter()
        expect(name, run.run(None, {"INPUT": column})[0], column)
        print(f"{name}: {(time.perf_counter() - started) * 1e3:.2f} ms")
    elif name == "mlp":
        rows = np.ones((3, 256), np.float32)
        got = run.run(None, {"input": rows})[0]
        if got.shape != (3, 16) or not np.isfinite(got).all() or np.abs(got).max() < 1e-3:
            raise SystemExit(f"{name}: {got!r}")
        np.testing.assert_allclose(run.run(None, {"input": rows[:1]})[0], got[:1], rtol=1e-5, atol=1e-6)
    elif name == "ragged_mean":
        expect(name, run.run(None, {"VALUES": np.array([[1, 2, 3]], np.float32)})[0], [[2]])
    elif name == "ragged_masked":
        feed = {"VALUES": np.array([[1, 3, 9]], np.float32), "MASK": np.array([[1, 1, 0]], np.float32)}
        expect(name, run.run(None, feed)[0], [[2]])
    elif name == "gather":
        expect(name, run.run(None, {"INDEX": np.array([[3], [0]], np.int64)})[0], [[40], [10]])
        try:
            run.run(None, {"INDEX": np.array([[9]], np.int64)})
        except Exception:  # ONNX Runtime's exception types have no public base.
            return
        raise SystemExit("gather: an index out of range did not fail")
    elif name == "nonzero":
        expect(name, run.run(None, {"INPUT": np.array([0, 5, 7], np.float32)})[0], [[1, 2]])
    elif name == "scalar":
        expect(name, run.run(None, {"INPUT": np.array(2, np.float32)})[0], -2)
    elif name == "fixed_batch":
        expect(name, run.run(None, {"INPUT": np.ones((4, 3), np.float32)})[0], -np.ones((4, 3)))
    elif name == "classifier":
        expect(name, run.run(None, {"INPUT": np.array([[0, 9, 1, 2]], np.float32)})[0].argmax(), 1)
    elif name == "external_data":
        run.run(None, {"input": np.ones((1, 64), np.float32)})
    else:
        raise SystemExit(f"{name}: check_testmodels.py does not know this model")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", default=os.path.join(ROOT, ".cache"))
    cache = parser.parse_args().cache
    good = os.path.join(cache, "testmodels")
    names = sorted(entry.name for entry in os.scandir(good) if entry.is_dir())
    for name in names:
        for version in sorted(entry.name for entry in os.scandir(os.path.join(good, name)) if entry.is_dir()):
            run = session(os.path.join(good, name, version, "model.onnx"))
            if name.startswith("identity_"):
                check_identity(name, run)
            elif name.startswith("versioned"):
                expect(name, run.run(None, {"INPUT": np.zeros((1, 1), np.float32)})[0], [[int(version)]])
            else:
                check_named(name, run)
    for name in BAD_GRAPHS:
        try:
            session(os.path.join(cache, "badmodels", name, "1", "model.onnx"))
        except Exception as error:
            print(f"{name}: refused: {str(error).splitlines()[0][:150]}")
            continue
        print(f"{name}: loads, so whoever serves it must refuse it")
    print(f"{len(names)} models answer as they should")
    return 0


if __name__ == "__main__":
    sys.exit(main())
