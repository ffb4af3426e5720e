"""What a model may ask of the server while it loads and runs."""

import logging
import threading
import time


class Cancelled(Exception):
    """Raised by Context.progress() when nobody waits for the run any more. A model lets it pass."""


class Context:
    """Handed to the model's constructor and to every predict().

    folder: where the model's files lie. instance: the number of this process among those of the model. logger: lines
    for the server's log.
    """

    _REPORT_INTERVAL = 0.02  # Seconds; a run of many quick steps shows only some of them.

    def __init__(self, channel, folder: str, instance: int):
        self.folder = folder
        self.instance = instance
        self.logger = logging.Logger("model")
        self.logger.addHandler(_ChannelHandler(channel))
        self._channel = channel
        self._lock = threading.Lock()
        self._run = 0
        self._cancelled = threading.Event()
        self._reported = 0.0

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the run any more."""
        return self._cancelled.is_set()

    def progress(self, step: int, steps: int) -> None:
        """Says that `step` of `steps` are done. Raises Cancelled when the run has been cancelled."""
        if self._cancelled.is_set():
            raise Cancelled("the run was cancelled")
        now = time.monotonic()
        if step >= steps or now - self._reported >= self._REPORT_INTERVAL:
            self._reported = now
            self._channel.send("progress", run=self._run, step=max(0, int(step)), steps=max(0, int(steps)))

    # The rest is the worker's own.

    def begin(self, run: int) -> None:
        with self._lock:
            self._run = run
            self._reported = 0.0
            self._cancelled.clear()

    def cancel(self, run: int) -> None:
        with self._lock:
            if self._run == run:
                self._cancelled.set()


class _ChannelHandler(logging.Handler):
    """Sends records to the server's log."""

    _MAX_TEXT = 4096

    def __init__(self, channel):
        super().__init__()
        self._sent = channel

    def emit(self, record) -> None:
        try:
            level = "error" if record.levelno >= logging.ERROR else (
                "warn" if record.levelno >= logging.WARNING else (
                    "info" if record.levelno >= logging.INFO else "debug"))
            self._sent.send("log", level=level, text=self.format(record)[:self._MAX_TEXT])
        except Exception:  # pylint: disable=broad-except
            self.handleError(record)
