"""Many at once: calls that start together in threads, or in processes, and what each of them came to."""

import multiprocessing
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

from django.db import connection


def together(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Calls all of them, each in a thread of its own, none before all are there; their results, or what they raised."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        barrier.wait(30)
        return _result(call)

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def in_threads(calls: Sequence[Callable[[], Any]], threads: int) -> list[Any]:
    """Calls all of them from so many threads; their results, or what they raised."""
    chunks = [calls[index::threads] for index in range(threads)]

    def run(chunk: Sequence[Callable[[], Any]]) -> list[Any]:
        try:
            return [_caught(call) for call in chunk]
        finally:
            connection.close()

    with ThreadPoolExecutor(threads) as pool:
        return [result for results in pool.map(run, chunks) for result in results]


def in_processes(function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]], processes: int) -> list[Any]:
    """Calls a module's function with each of the arguments, in that many new processes, each with Django set up."""
    # Spawned: a forked child would share this process' connections.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_set_up) as pool:
        return list(pool.map(function, *zip(*arguments, strict=True)))


def _set_up() -> None:
    import django

    django.setup()


def _result(call: Callable[[], Any]) -> Any:
    try:
        return _caught(call)
    finally:
        connection.close()  # each thread has one of its own


def _caught(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:  # noqa: BLE001 - what was raised is what the test looks at
        return error
