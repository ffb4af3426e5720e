"""How Magika's model sees a file, and what its scores mean. Standard library only, for clients of a served model.

The model takes `bytes`, INT32 [batch, 2048], and gives `target_label`, FP32 [batch, 214], a softmax over the labels.
Everything else stands in magika/1/magika.json, written by build.py from the package's own configuration.
"""
import json

# Python's bytes.strip() characters: what the model was trained with.
WHITE_SPACE = b" \t\n\r\x0b\x0c"


def load(path: str) -> dict:
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def features(content: bytes, config: dict) -> list[int] | None:
    """The 2048 numbers for a file, or None where the model isn't asked (see label_without_model).

    The first 1024 are bytes from the start: the first block (4096 bytes) without leading white space, padded behind
    with 256. The last 1024 are bytes from the end: the last block without trailing white space, padded in front.
    """
    block, pad = config["block_size"], config["padding_token"]
    if len(content) < config["min_file_size_for_dl"]:
        return None
    begin = content[:block].lstrip(WHITE_SPACE)[: config["beg_size"]]
    if len(begin) < config["min_file_size_for_dl"]:
        return None
    end = content[-block:].rstrip(WHITE_SPACE)[-config["end_size"] :]
    return (list(begin) + [pad] * (config["beg_size"] - len(begin))
            + [pad] * (config["end_size"] - len(end)) + list(end))


def label_without_model(content: bytes, config: dict) -> str:
    """For files too short for the model: `empty`, `txt` when valid UTF-8, else `unknown`."""
    if not content:
        return "empty"
    try:
        content[: config["block_size"]].decode("utf-8")
    except UnicodeDecodeError:
        return "unknown"
    return "txt"


def label(scores: list[float], config: dict) -> tuple[str, float]:
    """The label to report and the model's score: below its label's threshold only text or not is trusted."""
    best = max(range(len(scores)), key=scores.__getitem__)
    predicted = config["labels"][best]
    name = config["overwrite_map"].get(predicted, predicted)
    if scores[best] < config["thresholds"].get(predicted, config["medium_confidence_threshold"]):
        name = "txt" if config["content_types"][name]["is_text"] else "unknown"
    return name, scores[best]
