"""Runs a Diffusers pipeline in its safetensors layout (a folder with model_index.json) as it is.

Needs the packages `diffusers` and `torch` in the worker's interpreter (model.yaml: worker.python). Nothing is
downloaded, no pickle is opened, and no code in the folder is run.
"""

import inspect

import numpy as np

from .tensors import TensorSpec

# Inputs by the pipeline argument that each becomes.
_ARGUMENTS = {
    "prompt": TensorSpec("prompt", "BYTES", [1]),
    "negative_prompt": TensorSpec("negative_prompt", "BYTES", [1], optional=True),
    "height": TensorSpec("height", "INT32", [1], optional=True),
    "width": TensorSpec("width", "INT32", [1], optional=True),
    "num_frames": TensorSpec("num_frames", "INT32", [1], optional=True),
    "num_inference_steps": TensorSpec("num_inference_steps", "INT32", [1], optional=True),
    "guidance_scale": TensorSpec("guidance_scale", "FP32", [1], optional=True),
}
_SEED = TensorSpec("seed", "INT64", [1], optional=True)


class DiffusersPipeline:
    """Pictures UINT8 [count, height, width, 3]; the frames of a video are its pictures."""

    outputs = [TensorSpec("images", "UINT8", [-1, -1, -1, 3])]

    def __init__(self, context):
        self._torch = _need("torch")
        diffusers = _need("diffusers")
        self._device = "cuda" if self._torch.cuda.is_available() else "cpu"
        dtype = self._torch.float16 if self._device == "cuda" else self._torch.float32
        self._pipeline = diffusers.DiffusionPipeline.from_pretrained(
            context.folder, torch_dtype=dtype, use_safetensors=True, local_files_only=True)
        self._pipeline.to(self._device)
        self._pipeline.set_progress_bar_config(disable=True)
        parameters = inspect.signature(self._pipeline.__call__).parameters
        self._reports_steps = "callback_on_step_end" in parameters
        self.inputs = [spec for name, spec in _ARGUMENTS.items() if name in parameters] + [_SEED]
        context.logger.info("%s on %s", type(self._pipeline).__name__, self._device)

    def predict(self, inputs, context):
        arguments = {name: _scalar(value) for name, value in inputs.items() if name != _SEED.name}
        if _SEED.name in inputs:
            # On the CPU, so that a seed means the same picture on every device.
            arguments["generator"] = self._torch.Generator("cpu").manual_seed(int(inputs[_SEED.name][0]))
        if self._reports_steps:
            arguments["callback_on_step_end"] = _step_reporter(context)
        result = self._pipeline(output_type="np", **arguments)
        pictures = result.frames if hasattr(result, "frames") else result.images
        pictures = np.asarray(pictures, dtype=np.float32)
        pictures = pictures.reshape(-1, *pictures.shape[-3:])
        return {"images": np.clip(np.rint(pictures * 255), 0, 255).astype(np.uint8)}


def _step_reporter(context):
    def on_step_end(pipeline, step, timestep, tensors):
        del timestep
        context.progress(step + 1, getattr(pipeline, "num_timesteps", 0))
        return tensors

    return on_step_end


def _scalar(array):
    value = array.reshape(-1)[0]
    return value.decode() if isinstance(value, bytes) else value.item()


def _need(name: str):
    try:
        return __import__(name)
    except ImportError as error:
        raise RuntimeError(f"a Diffusers pipeline needs the Python package '{name}', which this interpreter lacks "
                           f"({error}); name one that has it in model.yaml: worker.python") from None
