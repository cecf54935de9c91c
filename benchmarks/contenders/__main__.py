"""One measurement: a job comes in on standard input, what it took goes out as the last line of standard output."""

import importlib
import json
import sys
import threading

from contenders.job import Job, since_start


def main() -> None:
    """Do the job and tell how it went."""
    job = Job(**json.load(sys.stdin))
    module, function = job.call.split(":")
    busy = Busy()
    result = getattr(importlib.import_module(f"contenders.{module}"), function)(job)
    print("\n" + json.dumps({**result, **busy.facts(), "whole_seconds": since_start()}))


class Busy:
    """How busy the GPU is, asked twice a second from the moment that torch uses it; a CPU has no such gauge."""

    def __init__(self) -> None:
        self.shares: list[float] = []
        self.stopped = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self.stopped.wait(0.5):
            torch = sys.modules.get("torch")
            try:
                if torch is not None and torch.cuda.is_initialized():
                    self.shares.append(torch.cuda.utilization() / 100)
            except Exception:  # torch is still being imported, or NVIDIA's package that asks the driver is missing
                continue

    def facts(self) -> dict:
        """The device, its mean share of busy time and its peak memory in bytes; None where there is no gauge."""
        self.stopped.set()
        torch = sys.modules.get("torch")
        if torch is None or not torch.cuda.is_initialized():
            return {"device": "cpu"}
        share = sum(self.shares) / len(self.shares) if self.shares else None
        peak = torch.cuda.max_memory_allocated()
        return {"device": torch.cuda.get_device_name(), "gpu_busy": share, "gpu_memory": peak}


if __name__ == "__main__":
    main()
