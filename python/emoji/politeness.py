"""Training beside other work on the same machine: lowest priority, pauses, and no more threads than are free."""
import os
import pathlib
import time

import torch

# While this file exists, training sleeps: a benchmark on the same machine creates it.
PAUSE_FILE = pathlib.Path("/tmp/pause-training")
SMOOTHING = 0.1
# Mean number of other runnable threads above which only one thread computes.
BUSY = 0.4


class Politeness:
    """Call `before_step` before each training step.

    With several threads every operation ends in a barrier, and at the lowest priority a barrier waits for the thread
    that the scheduler has put aside: on two cores under a build, one thread was nine times as fast as two.
    """

    def __init__(self):
        os.nice(19)
        self.cores = len(os.sched_getaffinity(0))
        self.others = float(self.cores)
        torch.set_num_threads(1)

    def before_step(self) -> None:
        while PAUSE_FILE.exists():
            time.sleep(2)
        runnable = int(pathlib.Path("/proc/loadavg").read_text(encoding="ascii").split()[3].split("/")[0])
        self.others += SMOOTHING * (runnable - 1 - self.others)  # One of them is this thread.
        threads = self.cores if self.others < BUSY else 1
        if threads != torch.get_num_threads():
            torch.set_num_threads(threads)
