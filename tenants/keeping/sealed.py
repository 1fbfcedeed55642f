"""A file that a passphrase seals: nobody else reads it, and a change of a single bit is noticed.

Its first line is ``recharge organization 1``, a stroke, 16 random bytes in hexadecimal digits and an end of the line.
scrypt (RFC 7914; N = 2^17, r = 8, p = 1, so that each guess takes a core's 0.4 s and 128 MiB) makes a key of the
passphrase and these bytes. Frames follow: a byte that is 1 in the last frame and 0 in the others, the length in four
bytes (big-endian), and so many bytes of AES-256-GCM. Their nonce is the frame's number in eleven bytes and that first
byte; what is authenticated besides is the first line. So frames can't be changed, left out, put elsewhere or cut off at
the end (Hoang et al., Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance, CRYPTO 2015: STREAM).

What is in a frame is compressed (zlib).
"""

import hashlib
import os
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from tenants.keeping.errors import CanNotExport, NotAnExport

VERSION = 1

LONGEST_FRAME = 1 << 26
"""Bytes, compressed and not. What is longer was made to fill the memory of whoever reads it."""

_KIND = b"recharge organization "
_SALT = 16
_LEVEL = 1
"""Of compression: the fastest. Rows become a quarter of their length; the best level spares a tenth more for five
times the CPU."""


class SealedWriter:
    """Writes such a file. :meth:`write` all of it, the last frame with ``is_last``."""

    def __init__(self, file: BinaryIO, passphrase: str) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        salt = os.urandom(_SALT)
        self._first = _KIND + b"%d/%s\n" % (VERSION, salt.hex().encode())
        self._cipher = _cipher_of(passphrase, salt)
        self._frames = 0
        self._put(self._first)

    def write(self, content: bytes, *, is_last: bool = False) -> None:
        """Appends a frame.

        Raises:
            CanNotExport: nobody would read it, since it is longer than ``LONGEST_FRAME``.
        """
        if len(content) > LONGEST_FRAME:
            raise CanNotExport(f"A row is too long: of {len(content)} bytes.")
        nonce = _nonce(self._frames, is_last)
        sealed = self._cipher.encrypt(nonce, zlib.compress(content, _LEVEL), self._first)
        self._put(bytes([is_last]) + len(sealed).to_bytes(4, "big") + sealed)
        self._frames += 1

    def _put(self, written: bytes) -> None:
        self._file.write(written)
        self._digest.update(written)

    @property
    def digest(self) -> str:
        """The SHA-256 of what was written, in hexadecimal digits: what ``sha256sum`` says of the file."""
        return self._digest.hexdigest()


class SealedReader:
    """Reads such a file."""

    def __init__(self, file: BinaryIO, passphrase: str) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._first = self._get(file.readline(200))
        kind, _, rest = self._first.partition(b"/")
        if not self._first.startswith(_KIND):
            raise NotAnExport("It is no export of an organization.")
        if kind != _KIND + b"%d" % VERSION:
            raise NotAnExport("A newer release wrote it in another form. Import it with that release.")
        try:
            salt = bytes.fromhex(rest.decode().strip())
        except ValueError:
            raise NotAnExport("Its first line is damaged.") from None
        self._cipher = _cipher_of(passphrase, salt)

    def frames(self) -> Iterator[bytes]:
        """What was written, frame by frame; each is as it was written, or

        Raises:
            NotAnExport: the passphrase is another one, or the file was changed or cut off.
        """
        number, is_last = 0, False
        while not is_last:
            head = self._get(self._file.read(5))
            length = int.from_bytes(head[1:], "big")
            if len(head) < 5 or length > LONGEST_FRAME:
                raise NotAnExport("It was cut off or damaged.")
            is_last = head[0] == 1
            sealed = self._get(self._file.read(length))
            try:
                opened = self._cipher.decrypt(_nonce(number, is_last), sealed, self._first)
            except InvalidTag:
                raise NotAnExport(
                    "It was cut off or damaged."
                    if number
                    else "The passphrase is not the one that it was written with, or the file is damaged."
                ) from None
            unpacked = zlib.decompressobj()
            try:
                content = unpacked.decompress(opened, LONGEST_FRAME)
            except zlib.error:
                raise NotAnExport("It has a frame that can't be unpacked.") from None
            if unpacked.unconsumed_tail:
                raise NotAnExport("It has a frame that is too long.")
            yield content
            number += 1
        if self._file.read(1):
            raise NotAnExport("Something stands after its end.")

    def _get(self, read: bytes) -> bytes:
        self._digest.update(read)
        return read

    @property
    def digest(self) -> str:
        """The SHA-256 of what was read so far, in hexadecimal digits."""
        return self._digest.hexdigest()


def _nonce(number: int, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([is_last])


def _cipher_of(passphrase: str, salt: bytes) -> AESGCM:
    return AESGCM(Scrypt(salt=salt, length=32, n=1 << 17, r=8, p=1).derive(passphrase.encode()))
