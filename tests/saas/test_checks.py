"""What `manage.py check --deploy` says of the environment."""

from pathlib import Path

import pytest
from django.conf import settings

from saas.checks import chain_file, misspelt
from tests.support import commands
from tests.support.environment import SETTINGS

ELSEWHERE = {"RECHARGE_ENV_FILE", "RECHARGE_DATA_DIR", "OTEL_SDK_DISABLED"}
"""Read outside of the settings, or not in each installation."""


def test_what_the_settings_read_is_known() -> None:
    assert set(SETTINGS) - ELSEWHERE <= settings.VARIABLES


@pytest.mark.parametrize("name", [name for name in SETTINGS if not name.startswith(("OTEL_", "RECHARGE_"))])
def test_a_misspelt_variable_is_found(name: str) -> None:
    at = len(name) // 2
    without_one = name[:at] + name[at + 1 :]
    assert misspelt([without_one], settings.VARIABLES) == {without_one: name}
    assert misspelt([name.lower()], settings.VARIABLES) == {name.lower(): name}
    assert misspelt([name], settings.VARIABLES) == {}


def test_what_others_read_is_not_taken_for_misspelt() -> None:
    example = (Path(settings.BASE_DIR) / "deploy" / "recharge.env.example").read_text()
    ours = [line.lstrip("#").partition("=")[0] for line in example.splitlines() if "=" in line and " " not in line]
    assert "KEEP_ALERTS_DAYS" in ours
    others = ["PATH", "HOME", "LANG", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "LOGNAME", "MAIL", "EDITOR", "PGHOST"]
    others += [
        "DJANGO_SETTINGS_MODULE",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
        "RECHARGE_ADMIN_PASSWORD",
        "WORKERS",
        "TEST_DATABASE_URL",
    ]
    assert misspelt(ours + others, settings.VARIABLES) == {}


def test_the_check_names_what_is_misspelt() -> None:
    done = commands.run("check", "--deploy", environment={"KEEP_WEBHOOK_DAYS": "30"})
    assert done.stderr.count("recharge.W004") == 1, done.stderr
    assert "KEEP_WEBHOOK_DAYS is in the environment, and nothing reads it." in done.stderr
    assert "KEEP_WEBHOOKS_DAYS is meant" in done.stderr
    assert "recharge.W004" not in commands.run("check", "--deploy").stderr


def test_the_check_says_that_the_roots_have_no_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(settings, "CHAIN_FILE", "")
    assert chain_file() == []
    monkeypatch.setattr(settings, "CHAIN_FILE", str(tmp_path / "roots"))
    assert chain_file() == []
    monkeypatch.setattr(settings, "CHAIN_FILE", str(tmp_path / "nowhere" / "roots"))
    assert [one.id for one in chain_file()] == ["recharge.W005"]
