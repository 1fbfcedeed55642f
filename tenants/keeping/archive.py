"""What stands in an organization's file, one thing a frame (sealed.py): a line of JSON that says what it is, and what
belongs to it. In this order:

- ``organization``: whose it is, of which release and which moment, and the migrations that its schema had;
- ``rows``: rows of a table of the public schema, as JSON;
- ``table``: a table of its schema and its columns; then ``data``, rows in the text format of PostgreSQL's COPY; then
  ``table_end`` with how many they were;
- ``end``, with where the schema's sequences stood.

Secrets are in it in the clear (base64): the passphrase alone protects them, and all else.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from typing import Any

from shared.outbound.secrets import decrypt, encrypt
from tenants.keeping.errors import NotAnExport
from tenants.keeping.sealed import SealedReader, SealedWriter

Frame = tuple[dict[str, Any], bytes]


def write_frame(file: SealedWriter, kind: str, body: bytes = b"", **members: Any) -> None:
    """Appends one thing."""
    head = json.dumps({"type": kind} | members, ensure_ascii=False, separators=(",", ":")).encode()
    file.write(head + b"\n" + body, is_last=kind == "end")


def read_frames(file: SealedReader) -> Iterator[Frame]:
    """What stands in it: the line of JSON, and what belongs to it.

    Raises:
        NotAnExport: the passphrase is another one, or the file was changed or cut off.
    """
    for content in file.frames():
        head, _, body = content.partition(b"\n")
        try:
            read = json.loads(head)
        except (ValueError, RecursionError):
            raise NotAnExport("What stands in it is no export of an organization.") from None
        yield read, body


def in_the_clear(stored: str) -> str:
    """What a file has of an encrypted column: of each secret, parted by spaces, its base64.

    Raises:
        shared.outbound.secrets.SecretUnreadable: it was encrypted under another ``SECRET_KEY``.
    """
    return " ".join(urlsafe_b64encode(decrypt(one).encode()).decode() for one in stored.split())


def encrypted_again(carried: str) -> str:
    """What this installation stores of it."""
    return " ".join(encrypt(urlsafe_b64decode(one).decode()) for one in carried.split())
