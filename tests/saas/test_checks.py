"""What `manage.py check --deploy` says of the environment."""

import os
from pathlib import Path

import pytest
from django.conf import settings

from saas import env_file
from saas.checks import chain_file, unknown_names
from tests.support import commands

EXAMPLE = Path(settings.BASE_DIR) / "deploy" / "recharge.env.example"


def said_of(names: list[str], monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    monkeypatch.setattr(env_file, "names_read", dict.fromkeys(names, "/etc/recharge/recharge.env"))
    return [(one.msg, one.hint) for one in unknown_names()]


def test_unknown_names_are_told_with_what_may_be_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, meant in (
        ("KEEP_WEBHOOK_DAYS", "KEEP_WEBHOOKS_DAYS"),
        ("TRUSTED_PROXY", "TRUSTED_PROXIES"),
        ("base_domain", "BASE_DOMAIN"),
    ):
        (said,) = said_of([name], monkeypatch)
        assert said == (f"/etc/recharge/recharge.env sets {name}, which is not known here.", f"Is {meant} meant?")
    (said,) = said_of(["XYZZY"], monkeypatch)
    assert said[1] == "deploy/recharge.env.example has all names that are."


def test_known_names_and_those_of_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = [name for name, _ in env_file.parse(EXAMPLE.read_text().replace("\n#", "\n")) if name.isupper()]
    assert {"BASE_DOMAIN", "KEEP_ALERTS_DAYS", "WORKERS", "RECHARGE_DATA_DIR"} <= set(ours)
    others = [
        "OTEL_SDK_DISABLED",
        "OTEL_BSP_SCHEDULE_DELAY",
        "PGSSLROOTCERT",
        "TMPDIR",
        "TZ",
        "HTTPS_PROXY",
        "no_proxy",
    ]
    assert said_of(ours + others, monkeypatch) == []


def test_where_the_example_is_not_installed_nothing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(settings, "BASE_DIR", tmp_path)
    assert said_of(["XYZZY"], monkeypatch) == []


def test_the_check_names_what_is_unknown_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "recharge.env"
    file.write_text("LOG_LEVEL=INFO\nKEEP_WEBHOOK_DAYS=30\n")
    done = commands.run("--env-file", str(file), "check", "--deploy")
    assert done.stderr.count("recharge.W004") == 1, done.stderr
    assert f"{file} sets KEEP_WEBHOOK_DAYS" in done.stderr
    done = commands.run("check", "--deploy", environment={"KEEP_WEBHOOK_DAYS": "30"})
    assert "recharge.W004" not in done.stderr, "what else is in the environment is not ours to judge"


def test_the_check_says_that_the_roots_have_no_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for there in ("", "roots", str(tmp_path / "roots")):
        monkeypatch.setattr(settings, "CHAIN_FILE", there)
        assert chain_file() == []
    monkeypatch.setattr(settings, "CHAIN_FILE", str(tmp_path / "nowhere" / "roots"))
    assert [one.id for one in chain_file()] == ["recharge.W005"]
    monkeypatch.setattr(settings, "CHAIN_FILE", os.path.join(tmp_path, "x" * 300, "roots"))
    assert [one.id for one in chain_file()] == ["recharge.W005"]
