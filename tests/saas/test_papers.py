"""The papers name files and places that there are."""

import re
from pathlib import Path

import pytest

from credit.models import WebhookEndpoint
from tests.support.server import ROOT

ROOMS = ("saas", "tenants", "shared", "credit", "recharge", "tests", "deploy")
NOT_OURS = {"MANAGE_X", "VIEW_X", "least_per_sale", "role_dispatcher", "view_x"}
"""What recipes make up, and what belongs to PostgreSQL."""
NOT_FOR_CONTAINERS = {
    # They have a database of their own.
    "DATABASE_POOLER", "DIRECT_DATABASE_URL", "DATABASE_CLUSTER", "REPLICA_DATABASE_URL", "REPLICA_MAX_AGE",
    # For development, or set for one command.
    "ALLOW_PRIVATE_ADDRESSES", "DEBUG", "HTTPS", "RECHARGE_ADMIN_PASSWORD", "RECHARGE_DATA_DIR", "RECHARGE_EMBEDDED",
    "RECHARGE_ENV_FILE", "RECHARGE_EXPORT_PASSPHRASE",
}  # fmt: skip
NUMBERS = {8: "eight", 9: "nine", 10: "ten", 11: "eleven", 12: "twelve"}
PAPERS = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "INTEGRATION.md", "CHANGELOG.md", "deploy/README.md"]

RECIPES = [
    "an operator",
    "a role",
    "an entry kind",
    "a gateway kind",
    "a webhook event",
    "a list column",
    "an export format",
    "a report",
    "a limit",
    "a page",
]


def text_of(paper: str) -> str:
    return (ROOT / paper).read_text()


def headings_of(paper: Path) -> list[str]:
    return re.findall(r"^#+ (.+)$", paper.read_text(), re.MULTILINE)


def anchor_of(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("paper", PAPERS)
def test_what_is_linked_is_there(paper: str) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", text_of(paper))
    for path, anchor in links:
        target = (ROOT / paper).parent / path if path else ROOT / paper
        assert target.exists(), path
        assert not anchor or anchor in map(anchor_of, headings_of(target)), (path, anchor)


@pytest.mark.parametrize("paper", PAPERS)
def test_files_that_are_named_are_there(paper: str) -> None:
    named = set(re.findall(r"`([\w./-]+/[\w.-]+\.(?:py|sql|sh|html|md|js|css|po|conf|ini|yaml))`", text_of(paper)))
    # In capitals: what the reader is to name.
    missing = [name for name in named if not re.search(r"[A-Z]{3,}\.|/[A-Z]{3,}/", name) and not (ROOT / name).exists()]
    assert missing == []


def test_the_stops_of_a_sale_are_in_their_files() -> None:
    rows = re.findall(r"^\| \d\. .*$", text_of("ARCHITECTURE.md"), re.MULTILINE)
    assert len(rows) == 4
    for row in rows:
        _stop, where = row.split("|")[1:3]
        (name,) = re.findall(r", `(\w+)`", where)
        path = re.findall(r"`([\w/]+\.\w+)`", where)[-1]
        assert re.search(rf"(?:def|FUNCTION) {name}\b", (ROOT / path).read_text()), (path, name)


def test_names_in_papers_and_in_comments_of_sql_are_those_of_something() -> None:
    """Functions, constants, columns, tests: a name that was given up is in no code any more."""
    code = {Path(paper).stem for paper in PAPERS}
    said = [
        name for paper in ("ARCHITECTURE.md", "CONTRIBUTING.md") for name in re.findall(r"`([^`]+)`", text_of(paper))
    ]
    for path in (path for room in ROOMS for path in (ROOT / room).rglob("*.*")):
        code.add(path.stem)
        if path.suffix in (".py", ".sql", ".html", ".sh", ".js") and not {"migrations", "upgrades"} & {*path.parts}:
            text = path.read_text() if path != Path(__file__) else ""
            if path.suffix == ".sql":
                said += re.findall("--(.*)", text)
                text = re.sub("--.*", "", text)
            code |= {*re.findall(r"\w+", text)}
    named = {*re.findall(r"(?<![\w/-])[A-Za-z]+(?:_[A-Za-z0-9]+)+(?![\w-])|\b[A-Z]{4,}\b", "\n".join(said))}
    assert len(named) > 100
    assert named - code == NOT_OURS


@pytest.mark.parametrize("event", WebhookEndpoint.Event.values)
def test_integrators_are_told_of_each_event(event: str) -> None:
    of_webhooks = text_of("INTEGRATION.md").partition("## Webhooks")[2].partition("\n## ")[0]
    assert f"`{event}`" in of_webhooks
    assert f"There are {NUMBERS[len(WebhookEndpoint.Event)]} events" in of_webhooks


def test_the_readme_is_short() -> None:
    assert len(text_of("README.md").splitlines()) <= 150


def test_there_is_a_recipe_for_each_of_ten_kinds() -> None:
    headings = [heading.lower() for heading in headings_of(ROOT / "CONTRIBUTING.md")]
    assert [recipe for recipe in RECIPES if recipe not in headings] == []


def test_pre_commit_runs_what_ci_runs() -> None:
    hooks = re.findall(r"entry: (\S+)", text_of(".pre-commit-config.yaml"))
    assert hooks == re.findall(r"^deploy/\S+", text_of(".ci/run"), re.MULTILINE)


def test_containers_are_handed_what_the_environments_file_sets() -> None:
    """Also what stands there as a comment, until somebody sets it."""
    written = set(re.findall(r"^#?([A-Z_]+)=", text_of("deploy/recharge.env.example"), re.MULTILINE))
    known = set(re.findall(r"\b([A-Z_]+)(?=:| *:?[-?}])", text_of("deploy/compose.yaml")))
    assert "CHAIN_FILE" in written
    assert written - known == NOT_FOR_CONTAINERS


def test_what_is_not_set_is_the_same_in_containers() -> None:
    defaults = dict(re.findall(r"^#([A-Z_]+)=(.*)$", text_of("deploy/recharge.env.example"), re.MULTILINE))
    handed = dict(re.findall(r"^ +([A-Z_]+): \$\{\1:-(.*)\}$", text_of("deploy/compose.yaml"), re.MULTILINE))
    both = defaults.keys() & handed.keys()
    assert "KEEP_WEBHOOKS_DAYS" in both
    assert {name: handed[name] for name in both} == {name: defaults[name] for name in both}
