"""The platform's console."""

import pytest

from tests.visitor import Visitor
from tests.world import World


@pytest.fixture
def root(world: World) -> Visitor:
    return Visitor.signed_in(world.platform_admin)


def test_pages_open(root: Visitor) -> None:
    for path in (
        "/organizations",
        "/organizations/acme",
        "/provision",
        "/audit",
        "/provision/slug?slug=x",
        "/provision/progress?slug=x",
    ):
        answer = root.get(path)
        assert answer.status == 200, answer.body.decode()
