"""The process: loads one model, then answers one run at a time until the server is gone."""

import os
import queue
import sys
import threading
import traceback

from . import tensors
from .context import Cancelled, Context
from .frames import PROTOCOL, Channel, ProtocolError
from .loader import ModelInvalid, load_model, specs_of
from .segments import Segments

_MAX_MESSAGE = 600


class Worker:
    """Three threads: the main one runs the model, one reads frames (so that a cancellation arrives during a run), and
    one sends a sign of life, which stops when something holds the interpreter's lock and does not let go."""

    def __init__(self, channel: Channel):
        self._channel = channel
        self._frames = queue.Queue(maxsize=64)
        self._context = None
        self._segments = Segments()
        self._model = None
        self._inputs = {}
        self._outputs = {}

    def serve(self) -> None:
        """Returns when the server says stop."""
        self._channel.send("hello", protocol=PROTOCOL, python=sys.version.split()[0])
        load = self._channel.receive()
        if load is None:
            return
        if load["type"] != "load" or load.get("protocol") != PROTOCOL:
            raise ProtocolError(f"expected to be told to load by protocol {PROTOCOL}")
        path = load["path"]
        self._context = Context(self._channel, os.path.dirname(path), load["instance"])
        threading.Thread(target=self._read, name="frames", daemon=True).start()
        if not self._load(path, load):
            return
        threading.Thread(target=self._beat, args=(load["beat_seconds"],), name="beat", daemon=True).start()
        while True:
            frame = self._frames.get()
            if frame["type"] == "stop":
                return
            self._handle(frame)

    def _read(self) -> None:
        try:
            while True:
                frame = self._channel.receive()
                if frame is None:
                    os._exit(0)  # The server is gone; whatever the model does is for nobody.
                if frame["type"] == "segment":
                    frame["descriptor"] = self._channel.take_descriptor()
                if frame["type"] == "cancel":
                    self._context.cancel(frame["run"])
                else:
                    self._frames.put(frame)
        except BaseException:  # pylint: disable=broad-except
            traceback.print_exc()
            os._exit(70)

    def _beat(self, seconds: float) -> None:
        pause = threading.Event()
        while True:
            self._channel.send("beat")
            pause.wait(seconds)

    def _load(self, path: str, load: dict) -> bool:
        try:
            self._model = load_model(path, self._context)
            inputs = specs_of(self._model, "inputs", load["inputs"])
            outputs = specs_of(self._model, "outputs", load["outputs"])
        except Exception as error:  # pylint: disable=broad-except
            traceback.print_exc()
            self._channel.send("failed", run=0, kind="invalid", text=_text_of(error))
            return False
        self._inputs = {spec.name: spec for spec in inputs}
        self._outputs = {spec.name: spec for spec in outputs}
        self._channel.send("ready", inputs=[spec.to_json() for spec in inputs],
                           outputs=[spec.to_json() for spec in outputs])
        return True

    def _handle(self, frame: dict) -> None:
        kind = frame["type"]
        if kind == "segment":
            self._segments.add(frame["segment"], frame["bytes"], frame["descriptor"], frame["writable"])
        elif kind == "forget":
            self._segments.forget(frame["segment"])
        elif kind == "run":
            self._run(frame)
        else:
            raise ProtocolError(f"a frame has the unknown type '{kind}'")

    def _run(self, frame: dict) -> None:
        run = frame["run"]
        self._context.begin(run)
        try:
            inputs = {described["name"]: tensors.decode(self._segments[described["segment"]], described)
                      for described in frame["inputs"]}
            self._answer(run, frame, self._predict(inputs))
        except Cancelled:
            self._channel.send("failed", run=run, kind="cancelled", text="the run was cancelled")
        except _NoRoom:
            self._channel.send("failed", run=run, kind="refused", text="no room for the outputs")
        except _Rejected as error:
            self._channel.send("failed", run=run, kind="rejected", text=_text_of(error))
        except Exception as error:  # pylint: disable=broad-except
            traceback.print_exc()
            self._channel.send("failed", run=run, kind="failed", text=_text_of(error))

    def _predict(self, inputs: dict):
        """A ValueError or TypeError of the model is the caller's fault, everything else the model's."""
        try:
            return self._model.predict(inputs, self._context)
        except (ValueError, TypeError) as error:
            traceback.print_exc()
            raise _Rejected(str(error)) from error

    def _answer(self, run: int, frame: dict, answer) -> None:
        """Writes the wanted outputs to shared memory and says where they lie."""
        arrays = self._wanted(frame["outputs"], answer)
        described, offset = [], 0
        for name, array in arrays.items():
            size = tensors.encoded_size(array)
            described.append({"name": name, "datatype": self._outputs[name].datatype, "shape": list(array.shape),
                              "offset": offset, "bytes": size})
            offset = tensors.aligned(offset + size)
        number = frame["room"]
        if number is None or offset > len(self._segments[number]):
            number = self._ask_for_room(run, offset)
        for place, array in zip(described, arrays.values()):
            tensors.write(self._segments[number], place["offset"], array)
        self._channel.send("result", run=run, segment=number, outputs=described)

    def _wanted(self, names: list, answer) -> dict:
        if not isinstance(answer, dict):
            raise BadAnswer(f"predict() returned {type(answer).__name__}, not a dictionary of outputs")
        arrays = {}
        for name in names:
            if name not in answer:
                raise BadAnswer(f"predict() returned no output '{name}'")
            spec = self._outputs[name]
            arrays[name] = tensors.as_array(answer[name], spec.datatype)
            try:
                spec.check(arrays[name])
            except ValueError as error:
                raise BadAnswer(f"output {error}") from None
        return arrays

    def _ask_for_room(self, run: int, size: int) -> int:
        """A segment of at least `size` bytes for the outputs of the run."""
        self._channel.send("room", run=run, bytes=size)
        while True:
            frame = self._frames.get()
            if frame["type"] == "refuse":
                raise _NoRoom()
            if frame["type"] == "room":
                return frame["segment"]
            if frame["type"] == "stop":
                sys.exit(0)
            self._handle(frame)


class BadAnswer(Exception):
    """What predict() returned is not what the model declares."""


class _Rejected(Exception):
    """The model refused its inputs."""


class _NoRoom(Exception):
    """The server has no memory for the outputs of this run."""


def _text_of(error: Exception) -> str:
    text = str(error).strip() or "no text"
    plain = isinstance(error, (BadAnswer, ModelInvalid, _Rejected))
    return (text if plain else f"{type(error).__name__}: {text}")[:_MAX_MESSAGE]
