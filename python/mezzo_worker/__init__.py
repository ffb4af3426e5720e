"""Runs a Python model in a process of its own, for the Mezzo server (README.md).

A model is a file `model.py` with a class `Model`:

    import numpy as np
    from mezzo_worker import TensorSpec

    class Model:
        inputs = [TensorSpec("x", "FP32", [-1, 4])]
        outputs = [TensorSpec("y", "FP32", [-1, 4])]

        def __init__(self, context):
            context.logger.info("loading from %s", context.folder)

        def predict(self, inputs, context):
            return {"y": inputs["x"] * 2}

Only numpy is needed beside the standard library.
"""

from .context import Cancelled, Context
from .tensors import TensorSpec

__all__ = ["Cancelled", "Context", "TensorSpec"]
