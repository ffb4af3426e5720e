"""Writes a Diffusers pipeline as a folder of ONNX models, in Optimum's layout or in that of Diffusers' old script.

Optimum: every part is PART/model.onnx beside its config.json; `timestep` has rank 0; the VAE's encoder gives
`latent_parameters`, mean and logarithm of the variance; text encoders of SDXL give all hidden states.
Old: no config.json beside the parts; `timestep` is int64 [batch]; `input_ids` is int32; the VAE's encoder gives
`latent_sample`.
"""
import json
import pathlib
import shutil

import onnx
import torch
from onnxruntime.transformers.float16 import convert_float_to_float16

OPSET = 17
LIBRARY = "optimum.onnxruntime.modeling_diffusion"


def shorten_names(graph: onnx.GraphProto) -> None:
    """Gives nodes and all tensors but inputs and outputs short names: half of a tiny model's file is names."""
    kept = {value.name for value in [*graph.input, *graph.output]} | {""}
    short: dict[str, str] = {}

    def name(old: str) -> str:
        return old if old in kept else short.setdefault(old, f"t{len(short)}")

    for number, node in enumerate(graph.node):
        node.name, node.doc_string = f"n{number}", ""  # ONNX Runtime's fusions name theirs after these.
        node.input[:] = [name(old) for old in node.input]
        node.output[:] = [name(old) for old in node.output]
    for weight in graph.initializer:
        weight.name = name(weight.name)
    del graph.value_info[:]


def timestep_nodes(graph: onnx.GraphProto) -> list[str]:
    """The nodes that lead to a sine or cosine: PyTorch computes the embedding of a timestep in FP32 in any case."""
    makers = {output: node for node in graph.node for output in node.output}
    found: dict[str, onnx.NodeProto] = {}
    waiting = [node for node in graph.node if node.op_type in ("Sin", "Cos")]
    while waiting:
        node = waiting.pop()
        if node.name not in found:
            found[node.name] = node
            waiting += [makers[name] for name in node.input if name in makers]
    return list(found)


def sort_nodes(graph: onnx.GraphProto) -> None:
    """Puts every node behind those that make its inputs."""
    made = {value.name for value in [*graph.input, *graph.initializer]} | {""}
    waiting, ordered = list(graph.node), []
    while waiting:
        ready = [node for node in waiting if made.issuperset(node.input)]
        if not ready:
            raise SystemExit("onnx_folder: the graph has a circle")
        ordered += ready
        made.update(name for node in ready for name in node.output)
        waiting = [node for node in waiting if not made.issuperset(node.output)]
    del graph.node[:]
    graph.node.extend(ordered)


class Part(torch.nn.Module):
    """A module whose call is `call(module, *inputs)`: positional inputs, a tuple of tensors as the result."""

    def __init__(self, module, call):
        super().__init__()
        self.module = module
        self.call = call

    def forward(self, *inputs):
        return self.call(self.module, *inputs)


def export(part: Part, path: pathlib.Path, inputs: dict[str, torch.Tensor], outputs: list[str],
           axes: dict[str, dict[int, str]], half: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(part, tuple(inputs.values()), str(path), input_names=list(inputs), output_names=outputs,
                      dynamic_axes=axes, opset_version=OPSET)
    model = onnx.load(str(path))
    if half:
        model = convert_float_to_float16(model, node_block_list=timestep_nodes(model.graph))
        sort_nodes(model.graph)
    shorten_names(model.graph)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


def spatial(height: str, width: str) -> dict[int, str]:
    return {0: "batch_size", 2: height, 3: width}


def export_text_encoder(encoder, folder: pathlib.Path, with_hidden_states: bool, ids: torch.dtype, half: bool) -> None:
    projects = hasattr(encoder, "text_projection")
    first = ["text_embeds", "last_hidden_state"] if projects else ["last_hidden_state", "pooler_output"]

    def call(module, input_ids):
        result = module(input_ids.long(), output_hidden_states=with_hidden_states)
        return (*(result[name] for name in first), *(result.hidden_states if with_hidden_states else ()))

    hidden = [f"hidden_states.{i}" for i in range(encoder.config.num_hidden_layers + 1)] if with_hidden_states else []
    sequence = {0: "batch_size", 1: "sequence_length"}
    axes = {"input_ids": sequence, **{name: sequence for name in ["last_hidden_state", *hidden]},
            first[0] if projects else "pooler_output": {0: "batch_size"}}
    export(Part(encoder, call), folder / "model.onnx", {"input_ids": torch.ones(2, 77, dtype=ids)}, first + hidden,
           axes, half)


def export_unet(unet, folder: pathlib.Path, timestep: torch.Tensor, half: bool) -> None:
    config = unet.config
    inputs = {"sample": torch.randn(2, config.in_channels, 8, 8), "timestep": timestep,
              "encoder_hidden_states": torch.randn(2, 77, config.cross_attention_dim)}
    if config.addition_embed_type == "text_time":
        times = 6 * config.addition_time_embed_dim
        inputs["text_embeds"] = torch.randn(2, config.projection_class_embeddings_input_dim - times)
        inputs["time_ids"] = torch.rand(2, 6) * 64
    if config.time_cond_proj_dim:
        inputs["timestep_cond"] = torch.randn(2, config.time_cond_proj_dim)
    names = list(inputs)

    def call(module, *tensors):
        given = dict(zip(names, tensors))
        added = {name: given[name] for name in ("text_embeds", "time_ids") if name in given} or None
        return module(given["sample"], given["timestep"], given["encoder_hidden_states"],
                      timestep_cond=given.get("timestep_cond"), added_cond_kwargs=added, return_dict=False)

    axes = {name: {0: "batch_size"} for name in names}
    axes.update({"sample": spatial("height", "width"), "out_sample": spatial("height", "width"),
                 "encoder_hidden_states": {0: "batch_size", 1: "sequence_length"}})
    if timestep.ndim == 0:
        del axes["timestep"]
    export(Part(unet, call), folder / "model.onnx", inputs, ["out_sample"], axes, half)


def export_vae(vae, folder: pathlib.Path, old: bool, half: bool) -> None:
    def encode(module, sample):
        distribution = module.encode(sample).latent_dist
        return distribution.mode() if old else distribution.parameters

    latent = "latent_sample" if old else "latent_parameters"
    export(Part(vae, encode), folder / "vae_encoder" / "model.onnx", {"sample": torch.randn(2, 3, 64, 64)}, [latent],
           {"sample": spatial("sample_height", "sample_width"), latent: spatial("height", "width")}, half)
    export(Part(vae, lambda module, latents: module.decode(latents, return_dict=False)[0]),
           folder / "vae_decoder" / "model.onnx", {"latent_sample": torch.randn(2, 4, 8, 8)}, ["sample"],
           {"latent_sample": spatial("height", "width"), "sample": spatial("sample_height", "sample_width")}, half)


def model_index(pipeline, layout: str) -> dict:
    """As the tool writes it that makes this layout: "cli" (optimum-cli), "saved" (Optimum's save_pretrained), "old"."""
    index = json.loads(pipeline.to_json_string())
    index = {key: value for key, value in index.items() if key != "image_encoder" and key != "_name_or_path"}
    if layout == "cli":
        return index
    del index["vae"]
    index["_class_name"] = ("Onnx" if layout == "old" else "ORT") + index["_class_name"]
    kinds = {"text_encoder": "ORTModelTextEncoder", "text_encoder_2": "ORTModelTextEncoder", "unet": "ORTModelUnet",
             "vae_encoder": "ORTModelVaeEncoder", "vae_decoder": "ORTModelVaeDecoder"}
    for part, kind in kinds.items():
        if part in index or part.startswith("vae"):
            index[part] = ["diffusers", "OnnxRuntimeModel"] if layout == "old" else [LIBRARY, kind]
    return dict(sorted(index.items()))


def write_folder(pipeline, folder: pathlib.Path, layout: str, timestep: torch.Tensor, half: bool = False) -> None:
    """Replaces `folder`. `timestep` is an example: its rank and its type are those of the denoiser's input."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    old = layout == "old"
    has_two = getattr(pipeline, "text_encoder_2", None) is not None
    for part in ("text_encoder", "text_encoder_2") if has_two else ("text_encoder",):
        export_text_encoder(getattr(pipeline, part), folder / part, has_two, torch.int32 if old else torch.int64, half)
        tokenizer = part.replace("text_encoder", "tokenizer")
        getattr(pipeline, tokenizer).save_pretrained(folder / tokenizer)
    export_unet(pipeline.unet, folder / "unet", timestep, half)
    export_vae(pipeline.vae, folder, old, half)
    pipeline.scheduler.save_config(folder / "scheduler")
    if not old:
        pipeline.unet.save_config(folder / "unet")
        for part in ("vae_encoder", "vae_decoder"):
            pipeline.vae.save_config(folder / part)
        for part in ("text_encoder", "text_encoder_2") if has_two else ("text_encoder",):
            getattr(pipeline, part).config.to_json_file(folder / part / "config.json")
    index = json.dumps(model_index(pipeline, layout), indent=2) + "\n"
    (folder / "model_index.json").write_text(index, encoding="utf-8")
