"""A server that sends traces, and the ids that they have."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.collector import Collector
from tests.support.locks import sell_through_sandbox
from tests.support.server import Server, serving, working_environment
from tests.support.world import World, give_credit

SALE = "POST /api/v1/recharges"


def trace_of(recharge_id: str) -> str:
    return hashlib.sha256(recharge_id.encode()).hexdigest()[:32]


def sale_in(recharge_id: str) -> tuple[str, str]:
    """The recharge's trace, and the sale's span in it."""
    return trace_of(recharge_id), hashlib.sha256(recharge_id.encode()).hexdigest()[32:48]


@dataclass(frozen=True)
class Traced:
    """A server that traces, with a delivery worker, and where it sends its traces."""

    server: Server
    collector: Collector


@contextmanager
def traced(log: Path, collector: Collector, *, delivery: bool = True, **more: str) -> Iterator[Traced]:
    environment = working_environment() | {"ALLOW_PRIVATE_ADDRESSES": "on", **collector.environment, **more}
    with serving(log, workers=1, environment=environment, delivery=delivery) as server:
        yield Traced(server, collector)


def world_at(server: Server) -> World:
    """Both organizations, at that server; acme has credit, and sells through the sandbox."""
    world = World.build(server.address)
    prepare(world)
    return world


def prepare(world: World) -> None:
    sell_through_sandbox(world.acme.row, "mci")
    give_credit(world.acme.row, world.acme.member.id, 100_000)
