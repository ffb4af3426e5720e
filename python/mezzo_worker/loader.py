"""From a model's files to an object with predict()."""

import importlib.util
import os
import sys

from .tensors import TensorSpec

PIPELINE_INDEX = "model_index.json"


class ModelInvalid(Exception):
    """The model's files are not a model; the text is for the operator."""


def load_model(path: str, context):
    """The model in `path`: a Python file with a class Model, or the model_index.json of a Diffusers pipeline."""
    if os.path.basename(path) == PIPELINE_INDEX:
        from .diffusers_pipeline import DiffusersPipeline
        return DiffusersPipeline(context)
    folder = os.path.dirname(path)
    os.chdir(folder)
    sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location("mezzo_model", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["mezzo_model"] = module
    spec.loader.exec_module(module)
    model_class = getattr(module, "Model", None)
    if not isinstance(model_class, type):
        raise ModelInvalid(f"{os.path.basename(path)} has no class 'Model'")
    if not callable(getattr(model_class, "predict", None)):
        raise ModelInvalid("the class 'Model' has no method 'predict(self, inputs, context)'")
    return model_class(context)


def specs_of(model, attribute: str, declared: list) -> list:
    """The model's own `inputs` or `outputs`, else those that its configuration declares (as JSON)."""
    own = getattr(model, attribute, None)
    if own is None:
        specs = [TensorSpec.from_json(fields) for fields in declared]
        if not specs:
            raise ModelInvalid(f"neither the class 'Model' nor model.yaml declares '{attribute}'")
        return specs
    if not isinstance(own, (list, tuple)) or not all(isinstance(spec, TensorSpec) for spec in own) or not own:
        raise ModelInvalid(f"'Model.{attribute}' must be a list of mezzo_worker.TensorSpec")
    if len({spec.name for spec in own}) != len(own):
        raise ModelInvalid(f"'Model.{attribute}' has a name twice")
    return list(own)
