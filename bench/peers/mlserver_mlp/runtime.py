"""The MLP as an MLServer custom runtime over ONNX Runtime."""

import os

import onnxruntime as ort
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Mlp(MLModel):
    async def load(self) -> bool:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        value = NumpyCodec.decode_input(payload.inputs[0]).astype("float32", copy=False)
        (result,) = self._session.run(None, {self._input: value})
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("output", result)])
