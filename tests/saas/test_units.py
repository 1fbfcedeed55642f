"""What the units and the papers about them count on, and only a machine with systemd would show."""

import re

import yaml

from saas.draining import DRAIN_SECONDS
from saas.management.commands.serve import STOP_SECONDS
from saas.metrics_process import metrics_beside
from saas.supervisor import SERVER_STOP_SECONDS, WEB_STOP_SECONDS, WORKER_STOP_SECONDS
from tests.support.server import ROOT

DEPLOY = ROOT / "deploy"
UNIT = (DEPLOY / "systemd" / "recharge.service").read_text()


def setting(name: str) -> str:
    (value,) = re.findall(rf"^{name}=(.*)$", UNIT, re.MULTILINE)
    return str(value)


def test_who_stops_a_server_waits_for_as_long_as_it_takes() -> None:
    beside = metrics_beside("127.0.0.1:1", DEPLOY).stop_seconds
    assert DRAIN_SECONDS + STOP_SECONDS < WEB_STOP_SECONDS
    assert max(WEB_STOP_SECONDS, WORKER_STOP_SECONDS) + beside < SERVER_STOP_SECONDS
    assert float(setting("TimeoutStopSec")) >= SERVER_STOP_SECONDS
    application = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["app"]
    assert float(application["stop_grace_period"].removesuffix("s")) >= SERVER_STOP_SECONDS


def test_who_waits_in_the_socket_for_a_restart_is_not_given_up_by_the_proxy() -> None:
    patience = re.findall(r"proxy_read_timeout (\d+)s;", (DEPLOY / "nginx.conf").read_text())
    assert max(WEB_STOP_SECONDS, WORKER_STOP_SECONDS) < min(map(float, patience))


def test_starts_are_not_counted() -> None:
    """Where they are, one too many closes the socket as well."""
    assert setting("StartLimitIntervalSec") == "0"


def test_the_papers_commands_that_stop_the_server_stop_its_socket() -> None:
    """Else the next request starts it again, in the middle of a restore for example."""
    papers = "".join(path.read_text() for path in DEPLOY.glob("*.md"))
    stopped = [units.split() for units in re.findall(r"^    systemctl stop ([^#\n]*)", papers, re.MULTILINE)]
    servers = [units for units in stopped if "recharge" in units]
    assert servers
    assert all("recharge.socket" in units for units in servers)
