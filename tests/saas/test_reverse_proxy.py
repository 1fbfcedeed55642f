"""The reverse proxy's limits stand before every door, and before nothing else."""

import re
from pathlib import Path

import pytest

from saas.seats import STATEMENT_SECONDS, TURN_SECONDS
from shared.aside import DEADLINE_SECONDS

CONFIGURATION = (Path(__file__).resolve().parents[2] / "deploy" / "nginx.conf").read_text()
(DOORS,) = re.findall(r'"~(\^POST .*)" doors;', CONFIGURATION)


@pytest.mark.parametrize(
    "path",
    [
        "/sign-in",
        "/sign-in/code",
        "/password-reset",
        "/password-reset/MQ/abc-def",
        "/account/password",
        "/account/preferences",
        "/admin/login/",
        "/admin/password_change/",
        "/api/v1/auth/token",
    ],
)
def test_each_door_is_limited(path: str) -> None:
    assert re.search(DOORS, f"POST {path}")
    assert not re.search(DOORS, f"GET {path}")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/sell/confirm",
        "/sign-out",
        "/sellers/1/password",
        "/api/v1/recharges",
        "/api/v1/auth/token/refresh",
        "/api/v1/auth/token/revoke",
        "/admin/",
        "/static/shared/console.css",
        "/livez",
        "/readyz",
    ],
)
def test_nothing_else_is(path: str) -> None:
    assert not re.search(DOORS, f"POST {path}")


def test_the_limits_are_in_force_and_answered_as_the_application_answers() -> None:
    zones = set(re.findall(r"limit_req_zone \$\w+ zone=(\w+):", CONFIGURATION))
    assert zones == set(re.findall(r"limit_req zone=(\w+) ", CONFIGURATION)) == {"door", "door_of_client"}
    assert "limit_req_status 429;" in CONFIGURATION
    assert re.search(r"error_page [^;]*\b429\b[^;]* \$refusal;", CONFIGURATION)
    assert "429 throttled;" in CONFIGURATION
    assert re.search(r"map \$status \$problem_retry_after {\s+429 1;", CONFIGURATION)


def test_programs_are_answered_a_document_and_people_a_page() -> None:
    """In both languages, whatever refuses: who is at a browser can't read JSON."""
    (refusal,) = re.findall(r"map \$uri \$refusal {(.*?)}", CONFIGURATION, re.DOTALL)
    assert refusal.split() == ["default", "@page;", '"~^/api/"', "@problem;"]
    (page,) = re.findall(r"location @page {(.*?)}", CONFIGURATION, re.DOTALL)
    assert "return 200 $page;" in page
    for header in ("X-Request-ID $id", "Retry-After $problem_retry_after", "Cache-Control no-store"):
        assert f"add_header {header} always;" in page
    for language in ("en", "fa"):
        (words,) = re.findall(rf"map \$status \$page_{language} {{(.*?)}}", CONFIGURATION, re.DOTALL)
        assert re.findall(r"^ +(\w+) \".+\";$", words, re.MULTILINE) == ["default", "413", "429", "502", "504"]
        assert f"$page_{language}" in CONFIGURATION


@pytest.mark.parametrize("path", ["/recharges.xlsx", "/api/v1/statements/019ac6f4-6a5c-7cc0-8b39-d8b3e4f0a6c1.pdf"])
def test_a_file_is_waited_for_as_long_as_it_may_take(path: str) -> None:
    (pattern, seconds), *others = re.findall(
        r"location ~ (\S+) {[^}]*proxy_read_timeout (\d+)s;[^}]*}", CONFIGURATION, re.DOTALL
    )
    assert not others
    assert re.search(pattern, path)
    assert int(seconds) > DEADLINE_SECONDS + TURN_SECONDS


def test_anything_else_is_waited_for_as_long_as_a_turn_and_a_statement_may_take() -> None:
    (seconds,) = re.findall(r"^ {8}proxy_read_timeout (\d+)s;", CONFIGURATION, re.MULTILINE)
    assert int(seconds) > TURN_SECONDS + STATEMENT_SECONDS
