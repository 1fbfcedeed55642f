"""What compose.yaml runs, and how deploy/upgrade.sh replaces it: one server at a time, and none where a step failed."""

import ipaddress
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.server import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]

STEPS = [
    "build",
    "run --rm --no-deps migrate",
    "ps --format {{.Health}} app-2",
    "up --detach --no-deps --no-build --wait --wait-timeout 300 app",
    "up --detach --no-deps --no-build --wait --wait-timeout 300 app-2",
    "up --detach --no-deps --no-build nightly migrate",
]
GIVEN = "compose --env-file deploy/recharge.env --file deploy/compose.yaml "


def upgrade(directory: Path, *, fails: str = "-", health: str = "healthy") -> tuple[int, list[str]]:
    """Runs it with a docker that notes what it is asked for, fails at this, and says this of app-2's health. The status
    and what was asked."""
    asked, docker = directory / "asked", directory / "docker"
    docker.write_text(f'#!/bin/sh\necho "$*" >>{asked}\necho {health}\n[ "$*" != "{GIVEN}{fails}" ] || exit 17\n')
    docker.chmod(0o755)
    path = {"PATH": f"{directory}:/usr/bin:/bin"}
    # From elsewhere: it finds its files by itself.
    done = subprocess.run([ROOT / "deploy" / "upgrade.sh"], cwd=directory, env=path, check=False, timeout=60)
    return done.returncode, asked.read_text().splitlines()


def test_an_upgrade_migrates_and_then_replaces_one_server_after_the_other(tmp_path: Path) -> None:
    """Each is waited for, and by itself: one `up` for both would stop both first."""
    assert upgrade(tmp_path) == (0, [GIVEN + step for step in STEPS])


@pytest.mark.parametrize("health", ["", "starting", "unhealthy"])
def test_a_server_that_does_not_serve_is_replaced_first(tmp_path: Path, health: str) -> None:
    status, asked = upgrade(tmp_path, health=health)
    assert (status, [call.split()[-1] for call in asked[3:5]]) == (0, ["app-2", "app"])


@pytest.mark.parametrize("step", [step for step in STEPS if not step.startswith("ps ")])
def test_where_a_step_fails_the_upgrade_ends_and_leaves_what_runs(tmp_path: Path, step: str) -> None:
    assert upgrade(tmp_path, fails=step) == (17, [GIVEN + done for done in STEPS[: STEPS.index(step) + 1]])


def test_an_upgrade_knows_all_that_runs_of_the_image() -> None:
    """But for what `run` alone starts."""
    of_the_image = {name for name, service in SERVICES.items() if service["image"] == "recharge"}
    replaced = {name for step in STEPS[3:] for name in step.split() if name in SERVICES}
    assert of_the_image - {name for name in of_the_image if "profiles" in SERVICES[name]} == replaced


def test_the_image_is_built_once() -> None:
    """By one service: a second one makes another image of the same name, and then each `up` replaces all containers."""
    assert [name for name, service in SERVICES.items() if "build" in service] == ["migrate"]


def test_commands_run_in_a_container_whose_address_nobody_has() -> None:
    texts = [(ROOT / "deploy" / name).read_text() for name in ("README.md", "compose.yaml")]
    calls = [call for text in texts for call in text.split("run --rm ")[1:]]
    assert {next(word for word in call.split() if word in SERVICES) for call in calls} == {"manage"}
    assert SERVICES["manage"]["networks"] == ["inside", "outside"]


def test_an_address_of_a_server_is_given_to_nobody_else() -> None:
    (pool,) = COMPOSE["networks"]["outside"]["ipam"]["config"]
    given = [
        ipaddress.ip_address(service["networks"]["outside"]["ipv4_address"])
        for service in SERVICES.values()
        if isinstance(service.get("networks"), dict)
    ]
    assert len(set(given)) == len(given) == 3
    for address in given:
        assert address in ipaddress.ip_network(pool["subnet"])
        assert address not in ipaddress.ip_network(pool["ip_range"])


def test_the_file_of_secrets_is_not_committed_by_accident() -> None:
    assert "deploy/recharge.env" in (ROOT / ".gitignore").read_text().splitlines()


def test_what_initializes_the_database_may_be_run() -> None:
    """The image's entry point would source a script that may not, with arguments of its own."""
    assert os.access(ROOT / "deploy" / "initdb.sh", os.X_OK)


def test_no_container_keeps_its_log_without_end() -> None:
    for name, service in SERVICES.items():
        assert {"max-size", "max-file"} <= service["logging"]["options"].keys(), name


def test_the_proxy_alone_is_reached_from_outside_and_sees_who_comes() -> None:
    """By IPv6 Docker hands connections on as its own."""
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"proxy": ["0.0.0.0:80:80", "0.0.0.0:443:443"]}
