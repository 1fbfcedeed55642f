"""Many at once: calls that start together in threads, or in processes, and what each of them came to."""

import multiprocessing
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import cache
from multiprocessing.context import ForkServerContext
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
    with ProcessPoolExecutor(processes, mp_context=new_processes(function.__module__)) as pool:
        return list(pool.map(function, *zip(*arguments, strict=True)))


@cache
def new_processes(*modules: str) -> ForkServerContext:
    """Processes that have nothing of this one, no connection above all, and share the seconds that imports take: they
    are forked by one that has set Django up, and has imported these modules."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.ready", *modules])
    return context


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
