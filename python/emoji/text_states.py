#!/usr/bin/env python3
"""Computes what the denoiser knows of a caption: the last hidden state of the served model `minilm`.

A caption is [CLS] pieces [SEP], cut to 16 tokens; its state is FP16 [16, 384] with zeros where there is no token. Both
come from the files that the server serves (.cache/models/minilm, made by tools/fetch.py --models).
"""
import argparse
import pathlib
import sys

import numpy as np
import onnxruntime

from workspace import ROOT, add_work_argument, load_pairs, write_file

sys.path.insert(0, str(ROOT / "python" / "models"))
import wordpiece  # noqa: E402  (the reference tokenizer lives beside the model's own script)

MINILM = ROOT / ".cache" / "models" / "minilm" / "1"
TOKENS, WIDTH = 16, 384
# People write more than bare names; {} is a caption.
TEMPLATES = ("a {}", "a picture of a {}", "{} emoji")


class TextEncoder:
    """Text states by ONNX Runtime. Not thread-safe."""

    def __init__(self, folder: pathlib.Path = MINILM):
        self.vocabulary = wordpiece.load_vocabulary(str(folder / "vocab.txt"))
        self.session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])

    def states(self, texts: list[str], batch: int = 64) -> np.ndarray:
        """FP16 [len(texts), TOKENS, WIDTH]; the empty text is a caption too: that of unconditional drawing."""
        result = np.zeros((len(texts), TOKENS, WIDTH), np.float16)
        for start in range(0, len(texts), batch):
            part = texts[start:start + batch]
            ids = np.zeros((len(part), TOKENS), np.int64)
            mask = np.zeros_like(ids)
            for row, text in enumerate(part):
                tokens = wordpiece.encode(text, self.vocabulary, max_tokens=TOKENS)
                ids[row, :len(tokens)], mask[row, :len(tokens)] = tokens, 1
            feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
            states = self.session.run(["last_hidden_state"], feeds)[0]
            result[start:start + len(part)] = states * mask[..., None]
        return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_work_argument(parser)
    work = parser.parse_args().work

    pairs = load_pairs(work)
    encoder = TextEncoder()
    texts, owners = [], []
    for index, (caption, further) in enumerate(zip(pairs.captions, pairs.further)):
        varied = [template.format(name) for name in [caption, *further] for template in TEMPLATES]
        texts += [*further, *varied]
        owners += [index] * len(further + varied)
    arrays = {
        "captions": encoder.states(pairs.captions),  # [n, 16, 384]
        "others": encoder.states(texts),  # [m, 16, 384]
        "owners": np.array(owners),  # [m]: the picture that others[i] describes, ascending
        "empty": encoder.states([""])[0],  # [16, 384]
    }
    write_file(work / "text.npz", lambda path: np.savez(path.open("wb"), **arrays))
    print(f"{len(pairs.captions)} captions, {len(texts)} other wordings")


if __name__ == "__main__":
    main()
