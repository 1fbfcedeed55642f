"""Answers ``GET /metrics`` for all processes of a server, the delivery worker too.

It is a process of its own: it answers also while every web process is busy, and is reached on no public host. Processes
count into files of a directory (shared/metrics.py); this one adds them up when it is asked. It needs nothing of Django.
"""

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NoReturn

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from saas.companions import Companion, log_line
from shared.metrics import FIGURES
from shared.metrics_server import Listen, serve_when_free
from shared.processes import LOOK_SECONDS

FRESH_SECONDS = 60.0
"""For how long a worker's figures are shown. It writes them every few seconds, unless it is gone or hangs."""

ENDED = 0
"""In place of a process's id: the files of what ended processes had counted, all together."""


def render(directory: Path) -> bytes:
    """What all processes have counted, and what a worker has read, as Prometheus reads it."""
    forget_ended(directory)
    registry = CollectorRegistry()
    registry.register(_Counted(directory))
    figures = b""
    with suppress(FileNotFoundError):
        written = directory / FIGURES
        if time.time() - written.stat().st_mtime < FRESH_SECONDS:
            figures = written.read_bytes()
    return generate_latest(registry) + figures


class _Counted(Collector):
    """What the files of a directory add up to."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def collect(self) -> Iterable[Metric]:
        # A process that has just made a file has nothing in it for a moment, and that can't be read.
        files = [str(file) for _, file in _files(self._directory) if file.stat().st_size]
        merged: Iterable[Metric] = MultiProcessCollector.merge(files, accumulate=True)
        return merged


def forget_ended(directory: Path) -> None:
    """Takes the gauges of processes that have ended away, and adds what they had counted up in one file: a server whose
    processes are replaced day after day would else have more and more files to read."""
    for process in {process for process, _ in _files(directory)}:
        if process == ENDED or _is_alive(process):
            continue
        mark_process_dead(process, str(directory))
        for kind in ("counter", "histogram"):
            file = directory / f"{kind}_{process}.db"
            if not file.exists() or not file.stat().st_size:
                file.unlink(missing_ok=True)
                continue
            whole = MmapedDict(str(directory / f"{kind}_{ENDED}.db"))
            for metric in MultiProcessCollector.merge([str(file)], accumulate=False):
                for sample in metric.samples:
                    names, of_labels = list(sample.labels), list(sample.labels.values())
                    key = mmap_key(metric.name, sample.name, names, of_labels, metric.documentation)
                    whole.write_value(key, whole.read_value(key)[0] + sample.value, 0.0)
            whole.close()
            file.unlink()


def _files(directory: Path) -> Iterator[tuple[int, Path]]:
    """With the ids of the processes that they are of."""
    for file in directory.glob("*.db"):
        yield int(file.stem.rpartition("_")[2]), file


def _is_alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in ("Z", "X")  # it has ended, and nobody has asked yet how


# --- The process ------------------------------------------------------------------------------------------------------


def metrics_beside(listen: Listen, directory: Path) -> Companion:
    """The process that answers on ``listen`` with what is in ``directory``."""
    return Companion(
        module="saas.metrics_process",
        arguments=[str(listen), str(directory)],
        name="The process that answers /metrics",
        event="metrics_process_ended",
        stop_seconds=5,
    )


def _answer(server: int, listen: Listen, directory: Path) -> NoReturn:
    def stop(_number: int, _frame: FrameType | None) -> NoReturn:
        sys.exit()

    signal.signal(signal.SIGTERM, stop)
    say = partial(log_line, "metrics_address_in_use")
    answering = (listen, partial(render, directory), say, threading.Event())
    threading.Thread(target=serve_when_free, args=answering, daemon=True).start()
    while os.getppid() == server:
        time.sleep(LOOK_SECONDS)
    # Who else would? Its web processes end, too, and whoever is started in its place has a directory of its own.
    shutil.rmtree(directory, ignore_errors=True)
    sys.exit()


if __name__ == "__main__":
    _answer(int(sys.argv[1]), Listen.parse(sys.argv[2]), Path(sys.argv[3]))
