"""Each action that is recorded anywhere has its words, in both languages."""

import ast
import re
from collections.abc import Iterator

from django.utils import timezone
from django.utils.translation import override

from shared.acts import ACTS, PLATFORM_ACTS
from shared.console.acts import FIELDS, act_name, changes
from tenants.models import AuditRecord
from tests.saas.test_code import sources
from tests.support.server import ROOT

ACTION = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")


def recorded() -> dict[str, set[str]]:
    """The actions that are named in the modules that record some, and where."""
    found: dict[str, set[str]] = {}
    for path in sources():
        text = path.read_text()
        if "tests" in path.relative_to(ROOT).parts or not re.search(
            r"shared\.audit import|tenants\.audit import", text
        ):
            continue
        for action in actions_in(ast.parse(text)):
            found.setdefault(action, set()).add(str(path.relative_to(ROOT)))
    return found


def actions_in(tree: ast.Module) -> set[str]:
    """What looks like an action among the arguments of calls, but for the names of loggers and formats."""
    found = set()
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if ast.unparse(call.func).endswith(("get_logger", "getLogger", "_response", "log.info", "log.warning")):
            continue
        for argument in (*call.args, *(keyword.value for keyword in call.keywords)):
            for part in ast.walk(argument):
                if isinstance(part, ast.Constant) and isinstance(part.value, str) and ACTION.fullmatch(part.value):
                    found.add(part.value)
    return found


def fields_recorded() -> dict[str, set[str]]:
    """The fields that rows are recorded with, as far as they are written out where a row is, and where."""
    found: dict[str, set[str]] = {}
    for path in sources():
        text = path.read_text()
        if "tests" in path.relative_to(ROOT).parts or not re.search(
            r"shared\.audit import|tenants\.audit import|record_of", text
        ):
            continue
        for written in written_in(ast.parse(text)):
            for key in (key for part in ast.walk(written) if isinstance(part, ast.Dict) for key in part.keys):
                if isinstance(key, ast.Constant):
                    found.setdefault(str(key.value), set()).add(str(path.relative_to(ROOT)))
    return found


def written_in(tree: ast.Module) -> Iterator[ast.AST]:
    """What calls are given as ``before`` and ``after``, and what functions answer that tell of a row."""
    for node in ast.walk(tree):
        match node:
            case ast.Call():
                yield from (keyword.value for keyword in node.keywords if keyword.arg in ("before", "after"))
            case ast.Assign(targets=[ast.Name(id=name)]) if name in ("before", "after", "told", "was", "now"):
                yield node.value
            case ast.FunctionDef(name=name) if "told_of" in name or name == "_told":
                yield node


FILES = re.compile(r".*\.(csv|xlsx|html|sql|txt|py)")


def test_each_action_has_its_words() -> None:
    actions = {action: where for action, where in recorded().items() if not FILES.fullmatch(action)}
    assert {action: where for action, where in actions.items() if action not in ACTS} == {}, (
        "Give them a line in shared/acts.py."
    )
    assert len(actions) > 15  # it finds some
    assert set(AuditRecord.Action.values) == set(PLATFORM_ACTS)


def test_each_field_has_its_words() -> None:
    fields = fields_recorded()
    assert {name: where for name, where in fields.items() if name not in FIELDS} == {}, (
        "Give them a line in shared/console/acts.py."
    )
    assert len(fields) > 30  # it finds some


def test_the_words_are_there_in_persian() -> None:
    for words in (ACTS, PLATFORM_ACTS, FIELDS):
        with override("en"):
            english = {name: str(word) for name, word in words.items()}
        with override("fa"):
            assert {name for name, word in words.items() if str(word) == english[name]} == set()
    assert len({str(word) for word in ACTS.values()}) == len(ACTS)


def test_days_and_moments_are_written_for_the_reader() -> None:
    made = AuditRecord(action="statement.made", after={"from": "2026-10-29", "to": "2026-11-27"})
    opened = AuditRecord(action="claim.opened", after={"deadline": "2026-11-28T04:26:00.525936Z", "last_day": "soon"})
    with override("fa"), timezone.override("Asia/Tehran"):
        words = " ".join(re.sub("<[^>]*>", " ", changes(made)).split())
        assert words == "از روز: ۱۴۰۵/۰۸/۰۷ تا روز: ۱۴۰۵/۰۹/۰۶"
        assert "۱۴۰۵/۰۹/۰۷ ۰۷:۵۶" in changes(opened)
        assert "soon" in changes(opened)  # what is none stays as it is


def test_an_action_of_a_newer_release_keeps_its_name() -> None:
    assert act_name("moon.landed") == "moon.landed"
