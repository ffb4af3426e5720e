"""Captions to the states that `emoji` was trained with: 16 tokens by MiniLM, zeros behind the last one."""

import functools
import pathlib
import sys

import numpy as np
import onnxruntime

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "python" / "models"))
import wordpiece  # noqa: E402

TOKENS = 16


class TextEncoder:
    """Thread-safe. The empty caption, which every guided picture needs, is encoded once."""

    def __init__(self, folder: pathlib.Path, threads: int):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
        self.vocabulary = wordpiece.load_vocabulary(str(folder / "vocab.txt"))
        self.states = functools.lru_cache(maxsize=256)(self._states)

    def _states(self, text: str) -> np.ndarray:
        """FP32 [16, 384]."""
        ids = np.zeros((1, TOKENS), np.int64)
        mask = np.zeros_like(ids)
        tokens = wordpiece.encode(text, self.vocabulary, max_tokens=TOKENS)
        ids[0, :len(tokens)], mask[0, :len(tokens)] = tokens, 1
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        return self.session.run(["last_hidden_state"], feeds)[0][0] * mask[0, :, None].astype(np.float32)
