"""What runs by the clock: systemd's timers, the crontab lines of deploy/README.md and what containers run say the same,
and it is what there is."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from tenants.keeping.deletion import plan_deletion
from tenants.models import Organization as OrganizationRow
from tests.support.commands import run
from tests.support.schemas import provision
from tests.support.server import ROOT
from tests.support.systemd import verify
from tests.support.world import World
from tests.tenants.test_deletion import end_the_time

UNITS = ROOT / "deploy" / "systemd"
TIMERS = sorted(path.stem for path in UNITS.glob("*.timer"))
PAPER = (ROOT / "deploy" / "README.md").read_text()
DAY = 24 * 60 * 60
NIGHTLY = ROOT / "deploy" / "nightly.sh"


def command_of(unit: str) -> str:
    """What a service runs, without where it is installed."""
    (command,) = re.findall(r"^ExecStart=/opt/recharge/(.*)$", (UNITS / f"{unit}.service").read_text(), re.MULTILINE)
    return str(command)


def crontab() -> list[tuple[str, str]]:
    """When, and what."""
    return re.findall(r"^    ((?:[0-9*]+ ){5}) *(.*)$", PAPER, re.MULTILINE)


def test_each_has_a_timer_that_is_named_and_a_line_for_a_crontab_at_the_same_time() -> None:
    assert len(TIMERS) == len(crontab()) == 5
    lines = {what.replace(" --env-file /etc/recharge/recharge.env", ""): when for when, what in crontab()}
    for timer in TIMERS:
        assert f"`{timer}.timer`" in PAPER
        (when,) = [when for what, when in lines.items() if what.endswith(command_of(timer))]
        minute, hour, day, *_ = when.split()
        said = f"OnCalendar=*-*-{day if day == '*' else day.zfill(2)} {hour.zfill(2)}:{minute.zfill(2)}:00"
        assert said in (UNITS / f"{timer}.timer").read_text().splitlines(), timer


@pytest.mark.parametrize("unit", sorted(path.name for path in UNITS.iterdir()))
def test_the_units_run_what_there_is_and_read_what_the_paper_says(unit: str) -> None:
    text = (UNITS / unit).read_text()
    for program in re.findall(r"^ExecStart=(/opt/recharge/[^ ]+)", text, re.MULTILINE):
        there = ROOT / program.removeprefix("/opt/recharge/")
        assert os.access(there, os.X_OK), program
    for file in re.findall(r"^EnvironmentFile=(.*)$", text, re.MULTILINE):
        assert file in PAPER


def test_the_file_of_roots_is_where_the_unit_lets_workers_write() -> None:
    (directory,) = re.findall(r"`CHAIN_FILE=(/.*)/roots`", PAPER)
    unit = (UNITS / "recharge.service").read_text().splitlines()
    assert "ProtectSystem=strict" in unit
    assert f"StateDirectory={directory.removeprefix('/var/lib/')}" in unit
    service = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]["app"]
    assert service["volumes"] == [f"roots:{directory}"]
    assert service["read_only"]


def test_systemd_understands_the_units(tmp_path: Path) -> None:
    for unit in UNITS.iterdir():
        text = unit.read_text().replace("/opt/recharge", str(ROOT))
        # Of another package, which is not on this machine.
        (tmp_path / unit.name).write_text(text.replace("/usr/bin/pg_receivewal", "/bin/true"))
    assert verify(sorted(tmp_path.iterdir())) == ""
    broken = tmp_path / "recharge.service"
    broken.write_text(broken.read_text().replace("ExecReload=", "ExecReloaded="))
    assert "ExecReloaded" in verify([broken])


def test_containers_do_each_night_what_the_timers_do() -> None:
    nightly = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]["nightly"]
    assert [*nightly["entrypoint"], *nightly["command"]] == ["bash", "/nightly.sh", "03:30"]
    assert nightly["volumes"] == ["./nightly.sh:/nightly.sh:ro"]
    done = re.findall(r"^    python (manage\.py .*?) \|\|", NIGHTLY.read_text(), re.MULTILINE)
    timers = [command_of(timer) for timer in ("recharge-reconcile", "recharge-delete-due", "recharge-let-go")]
    assert [f".venv/bin/python {command}" for command in done] == timers


@pytest.fixture
def gone(world: World) -> None:
    """An organization whose time is over."""
    provision("gone")
    plan_deletion(slug="gone")
    end_the_time("gone")


def slugs() -> set[str]:
    return set(OrganizationRow.objects.values_list("slug", flat=True))


def test_what_the_timers_run_of_this_application_does_what_it_should(gone: None) -> None:
    commands = [command.partition("manage.py ")[2].split() for command in map(command_of, TIMERS)]
    done = [run(*command) for command in commands if command]
    assert [one.returncode for one in done] == [0, 0, 0], done
    assert slugs() == {"acme", "globex"}


def test_the_script_waits_for_the_time_of_day_and_what_fails_keeps_nothing_else_from_being_done(tmp_path: Path) -> None:
    said = {
        "sleep": 'echo $1 >>slept; [ "$(wc -l <slept)" -lt 3 ] || kill $PPID',  # the third night never comes
        "python": 'echo "$*" >>done; case "$*" in *reconcile*) exit 1;; esac',
    }
    for name, body in said.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    began = time.time()
    ended = subprocess.run(
        ["bash", NIGHTLY, "21:05"], cwd=tmp_path, env=path, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == -signal.SIGTERM
    assert ended.stderr.splitlines() == ["The books were not proved right."] * 2
    assert (tmp_path / "done").read_text().splitlines() == [
        "manage.py reconcile --incremental",
        "manage.py organization delete --due --yes",
        "manage.py let_go --suspended",
    ] * 2
    for slept in map(int, (tmp_path / "slept").read_text().split()):
        assert 0 < slept <= DAY
        assert (began + slept - (21 * 60 + 5) * 60 + 30) % DAY == pytest.approx(30, abs=30)
