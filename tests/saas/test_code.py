"""What the code must not say, and what must follow from it."""

import ast
import re
import tomllib
from pathlib import Path

from tests.support import commands
from tests.support.citus import ASKS_FOR_ONE_SERVER
from tests.support.environment import SETTINGS
from tests.support.server import ROOT

APPS = ("saas", "tenants", "shared", "credit", "recharge", "tests")

THREAD_UNSAFE = {
    "a tenant as a context manager of its own": r"^\s*(?:async )?with\s+(?:[\w.\[\]()]+\s*,\s*)*"
    r"(?:self\.)?(?:organization|tenant|row|third|acme\.row|globex\.row)(?:\s+as\s+\w+)?\s*[:,]",
    "a decorator that keeps one context for all threads": r"@\s*(?:\w+\.)*(?:tenant_context|schema_context)\b",
    "a context that is made once and used again": r"=\s*(?:\w+\.)*(?:tenant_context|schema_context)\(",
}
"""django-tenants 4.0.1 keeps what these forms come back to on the class or on the one object,
where two threads swap it."""


def sources() -> list[Path]:
    return [path for app in APPS for path in sorted((ROOT / app).rglob("*.py"))]


def test_the_thread_unsafe_forms_of_a_tenant_context_are_nowhere() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {name}"
        for path in sources()
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        for name, form in THREAD_UNSAFE.items()
        if re.search(form, line)
    ]
    assert found == []


def test_that_search_finds_what_it_looks_for() -> None:
    bad = [
        "    with organization:",
        "with tenant as current:",
        "with self.organization:",
        "with transaction.atomic(), organization:",
        "@tenant_" + "context(organization)",
        "@ schema_" + "context('public')",
        "@django_tenants.utils.schema_" + "context('public')",
        "public = schema_" + "context('public')",
    ]
    good = [
        "    with tenant_context(organization):",
        "with schema_context('public'), transaction.atomic():",
        "with tenant_context(self.row), connection.cursor() as cursor:",
        "from django_tenants.utils import schema_context, tenant_context",
        "with acme.context:",
    ]
    assert [line for line in bad if not any(re.search(form, line) for form in THREAD_UNSAFE.values())] == []
    assert [line for line in good if any(re.search(form, line) for form in THREAD_UNSAFE.values())] == []
    assert len(sources()) > 60


def test_no_view_is_asynchronous() -> None:
    """django-tenants keeps the tenant on the thread's connection."""
    assert [str(path) for path in sources() if re.search(r"^\s*async def ", path.read_text(), re.MULTILINE)] == []


def test_the_migrations_say_what_the_models_say() -> None:
    done = commands.run("makemigrations", "--check", "--dry-run")
    assert (done.returncode, done.stdout) == (0, "No changes detected\n"), done.stderr


NO_ROOM = re.compile(
    r"saas\..*|.*\.(migrations|management|templatetags)(\..*)?|\w+|credit\.(alerts|webhooks)|shared\.members|\w+\.(urls|page_urls|apps|admin)"
    r"|shared\.(converters|handlers|logs|mails|requests|second_factor)"
)
"""Modules that are neither a face nor a core: they put the others together, or belong to a framework."""


def test_every_module_is_in_a_room_that_import_linter_keeps() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    rooms = tuple(module for contract in contracts for module in contract.get("source_modules", ()))
    apps = ("saas", "tenants", "shared", "credit", "recharge")
    files = [path.relative_to(ROOT) for app in apps for path in (ROOT / app).rglob("*.py")]
    modules = {".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in files}
    outside = {module for module in modules if not NO_ROOM.fullmatch(module)}
    assert {module for module in outside if not f"{module}.".startswith(tuple(f"{room}." for room in rooms))} == set()


OF_PAGES = {
    "django.forms": (),
    "django.shortcuts": (),
    "django.template": ("shared.members.mail",),
    "django.utils.translation": ("errors", "shared.acts"),
}
"""What cores leave to the pages, and who does not: an error and an act have words of their own, a mail its template."""


def test_cores_know_no_forms_no_templates_and_no_gettext() -> None:
    """import-linter knows Django only as a whole."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (cores,) = (contract["source_modules"] for contract in contracts if contract["name"].startswith("Cores "))
    found, read = [], 0
    for path in sources():
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if not f"{module}.".startswith(tuple(f"{core}." for core in cores)):
            continue
        read += 1
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            whole = [f"{node.module}.{name}" for name in names] if isinstance(node, ast.ImportFrom) else names
            for known, but in OF_PAGES.items():
                if any(f"{name}.".startswith(f"{known}.") for name in whole) and not module.endswith(but):
                    found.append(f"{module} imports {known}")
    assert read > 100
    assert found == []


def test_no_template_names_one_of_an_app_above() -> None:
    floors = ["shared", "credit", "recharge", "saas"]
    up = [
        f"{template.name} names {app}"
        for floor, below in enumerate(floors)
        for template in (ROOT / below / "templates").rglob("*.*")
        for app in re.findall(r'{% (?:include|extends) "(\w+)/', template.read_text())
        if floors.index(app) > floor
    ]
    assert up == []


def test_what_the_environment_may_say_is_known_to_the_tests() -> None:
    """Else a server that a test starts with another value might be forked from one that has read its settings."""
    read = re.findall(r"(?:env\.\w+|flag)\(\"(\w+)\"", (ROOT / "saas" / "settings.py").read_text())
    assert len(read) > 10
    assert set(read) - {"RECHARGE_EMBEDDED"} <= set(SETTINGS)


def test_what_is_left_out_on_a_cluster_is_there() -> None:
    for name in ASKS_FOR_ONE_SERVER:
        file, _, function = name.partition("::")
        assert (f"\ndef {function}(" if function else "def test_") in (ROOT / file).read_text(), name
