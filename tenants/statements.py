"""Splits a SQL file of ours into its statements. Each is looked at and installed by itself (see functions.py)."""

import re

_TOKEN = re.compile(
    r"""
    (?P<skipped>
        --[^\n]*                                 # a comment
        | /\*.*?\*/
        | '(?:[^']|'')*'                         # a string
        | "(?:[^"]|"")*"                         # a quoted name
        | (?P<dollar>\$\w*\$).*?(?P=dollar)      # a body
    )
    | (?P<word>\w+)
    | (?P<end>;)
    """,
    re.VERBOSE | re.DOTALL,
)


def statements_of(text: str) -> list[str]:
    """The statements, without their semicolons and the comments before them.

    A semicolon in a string, a comment, a body between dollars or one of BEGIN ATOMIC … END ends none.
    """
    statements = []
    begin, depth, before = 0, 0, ""
    for token in _TOKEN.finditer(text):
        if token["word"]:
            word = token["word"].upper()
            if word == "ATOMIC" and before == "BEGIN":
                depth = 1
            elif depth:
                depth += {"CASE": 1, "END": -1}.get(word, 0)
            before = word
        elif token["end"] and not depth:
            statements.append(text[begin : token.start()])
            begin = token.end()
    statements.append(text[begin:])
    bare = [re.sub(r"\A(\s|--[^\n]*\n)+", "", f"{statement}\n").strip() for statement in statements]
    return [statement for statement in bare if statement]
