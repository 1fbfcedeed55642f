"""The texts of the pages and their translations: finds them in the code and the templates, and keeps saas/locale.

Run by deploy/messages.sh; the test of the translations uses the same search.
"""

import ast
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import read_mo, write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parents[2]
APPS = ("saas", "tenants", "shared", "credit", "recharge")
PO = ROOT / "saas" / "locale" / "fa" / "LC_MESSAGES" / "django.po"
MO = PO.with_suffix(".mo")

_ALWAYS = datetime(2026, 1, 1, tzinfo=UTC)
"""In place of the moment of writing, which would make another file each time."""

_SINGLE = {"_", "gettext", "gettext_lazy", "gettext_noop", "to_translate"}
_PLURAL = {"ngettext", "ngettext_lazy"}


@dataclass(frozen=True)
class Text:
    """Something to be translated: the text, its plural (or None), and where it stands."""

    singular: str
    plural: str | None
    place: str

    @property
    def id(self) -> str | tuple[str, str]:
        return self.singular if self.plural is None else (self.singular, self.plural)


def texts() -> list[Text]:
    """All that there are, in the order of the files."""
    found: list[Text] = []
    for app in APPS:
        for path in sorted((ROOT / app).rglob("*.py")):
            found += _in_code(path)
        for path in sorted((ROOT / app).rglob("templates/**/*.*")):
            found += _in_template(path)
    return found


def _in_code(path: Path) -> Iterator[Text]:
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        strings = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        place = path.relative_to(ROOT).as_posix()
        if node.func.id in _SINGLE and node.args:
            assert strings, f"{place}:{node.lineno}: what is translated must be written out here"
            yield Text(strings[0], None, place)
        elif node.func.id in _PLURAL:
            assert len(strings) >= 2, f"{place}:{node.lineno}: what is translated must be written out here"
            yield Text(strings[0], strings[1], place)


def _in_template(path: Path) -> Iterator[Text]:
    from django.template import Engine, Template
    from django.template.engine import Engine as EngineClass
    from django.templatetags.i18n import BlockTranslateNode, TranslateNode

    assert EngineClass is Engine
    place = path.relative_to(ROOT).as_posix()
    for node in _nodes(Template(path.read_text()).nodelist):
        if isinstance(node, TranslateNode):
            text = node.filter_expression.var.literal
            if isinstance(text, str):  # else it is a variable, whose texts are marked where they are written
                yield Text(text.replace("%%", "%"), None, place)
        elif isinstance(node, BlockTranslateNode):
            singular, _ = node.render_token_list(node.singular)
            plural = node.render_token_list(node.plural)[0] if node.plural else None
            yield Text(singular, plural, place)


def _nodes(nodes) -> Iterator[object]:
    for node in nodes:
        yield node
        for name in ("nodelist", "nodelist_true", "nodelist_false", "nodelist_loop", "nodelist_empty"):
            yield from _nodes(getattr(node, name, None) or [])
        for _, inner in getattr(node, "conditions_nodelists", []):
            yield from _nodes(inner)


@cache
def catalog() -> Catalog:
    """The translations as they are written."""
    with PO.open("rb") as file:
        return read_po(file, locale="fa")


@cache
def compiled() -> Catalog:
    """The translations as they are used."""
    with MO.open("rb") as file:
        return read_mo(file)


def main() -> None:
    import django

    django.setup()
    kept = catalog() if PO.exists() else Catalog(locale="fa")
    written = Catalog(
        locale="fa", project="recharge", charset="utf-8", fuzzy=False, creation_date=_ALWAYS, revision_date=_ALWAYS
    )
    for text in texts():
        before = kept.get(text.singular)
        written.add(text.id, before.string if before else None, locations=[(text.place, None)])
    PO.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    write_po(buffer, written, width=120, sort_output=True, omit_header=False)
    # Without the moments of writing, which would change each time.
    lines = [
        line for line in buffer.getvalue().splitlines() if not line.startswith((b'"POT-Creation', b'"PO-Revision'))
    ]
    PO.write_bytes(b"\n".join(lines) + b"\n")
    with MO.open("wb") as file:
        write_mo(file, written)
    lacking = [message.id for message in written if message.id and not _is_translated(message)]
    for one in lacking:
        print("no translation:", one)
    sys.exit(1 if lacking else 0)


def _is_translated(message) -> bool:
    strings = message.string if isinstance(message.string, tuple | list) else [message.string]
    return all(strings)


if __name__ == "__main__":
    import os

    os.environ.setdefault("DATABASE_URL", "postgres://nobody@localhost:1/nothing")
    os.environ.setdefault("SECRET_KEY", "only-to-read-the-templates-" * 3)
    os.environ["DJANGO_SETTINGS_MODULE"] = "saas.settings"
    main()
