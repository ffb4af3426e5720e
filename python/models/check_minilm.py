#!/usr/bin/env python3
"""Compares the MiniLM ONNX model with the NumPy reference on the sentences of tests/models_src/sentences.txt.

Prints `min cosine X over N sentences (worst: …)` and exits 1 when X is below 0.9999. The model gets the sentences in
padded batches, the reference one by one, so a mask that leaks shows too.

    .cache/venv/bin/python python/models/check_minilm.py [--cache .cache]
"""
import argparse
import os
import sys

import numpy as np
import onnxruntime

import minilm
import wordpiece

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BATCH = 10
BAR = 0.9999


def embed(session, tokens: list[list[int]]) -> np.ndarray:
    width = max(len(ids) for ids in tokens)
    ids = np.zeros((len(tokens), width), np.int64)
    mask = np.zeros_like(ids)
    for row, sentence in enumerate(tokens):
        ids[row, : len(sentence)] = sentence
        mask[row, : len(sentence)] = 1
    feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    return session.run(["sentence_embedding"], feed)[0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", default=os.path.join(ROOT, ".cache"))
    cache = parser.parse_args().cache
    model = os.path.join(cache, "models", "minilm", "1")
    with open(os.path.join(ROOT, "tests", "models_src", "sentences.txt"), encoding="utf-8") as f:
        sentences = f.read().splitlines()
    vocabulary = wordpiece.load_vocabulary(os.path.join(model, "vocab.txt"))
    tokens = [wordpiece.encode(sentence, vocabulary) for sentence in sentences]

    session = onnxruntime.InferenceSession(os.path.join(model, "model.onnx"), providers=["CPUExecutionProvider"])
    weights = minilm.double_precision(
        minilm.load_safetensors(os.path.join(cache, "downloads", "minilm", "model.safetensors")))
    cosines = []
    for start in range(0, len(tokens), BATCH):
        batch = tokens[start : start + BATCH]
        for got, ids in zip(embed(session, batch).astype(np.float64), batch):
            cosines.append(float(got @ minilm.reference(weights, ids) / np.linalg.norm(got)))
    worst = int(np.argmin(cosines))
    print(f"min cosine {cosines[worst]:.7f} over {len(cosines)} sentences (worst: {sentences[worst][:60]!r})")
    return 0 if cosines[worst] >= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
