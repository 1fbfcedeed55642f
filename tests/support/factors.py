"""Second factors of the tests' people: an authenticator app, and an authenticator for passkeys made of software."""

import base64
import hashlib
import json
import re
import struct
import time
from dataclasses import dataclass, field
from html import unescape
from typing import Any

from cbor2 import dumps
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from tests.support.client import Answer, Client


def code_of(secret: str, *, steps: int = 0) -> str:
    """What an app shows for this secret, so many steps of 30 seconds from now."""
    moment = int(time.time()) // 30 * 30 + steps * 30
    return TOTP(base64.b32decode(secret), 6, SHA1(), 30).generate(moment).decode()


def wrong_code(secret: str) -> str:
    """None that is good now."""
    near = {code_of(secret, steps=steps) for steps in range(-3, 4)}
    return next(code for code in (f"{number:06}" for number in range(10)) if code not in near)


def enrol(client: Client) -> tuple[str, list[str]]:
    """Enrols an app through the API: its secret, and the recovery codes. The code of a minute ago is used up for it, so
    that those of now are good."""
    secret = client.post("/second-factor/totp").json["secret"]
    confirmed = client.post("/second-factor/totp/confirm", {"code": code_of(secret, steps=-1)})
    if confirmed.status != 200:  # the step has just changed
        confirmed = client.post("/second-factor/totp/confirm", {"code": code_of(secret, steps=-1)})
    assert confirmed.status == 200, confirmed
    return secret, confirmed.json["recovery_codes"]


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def options_of(page: Answer) -> dict[str, Any]:
    """What a page asks the browser's passkey."""
    options: dict[str, Any] = json.loads(unescape(re.findall(r'data-passkey="([^"]*)"', page.body.decode())[0]))
    return options


@dataclass
class Authenticator:
    """Has one passkey, and answers as a browser at ``origin`` does."""

    origin: str
    verifies: bool = True
    """Whether it looks at who uses it (by a fingerprint or a PIN)."""
    counts: bool = True
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    id: bytes = field(default_factory=lambda: hashlib.sha256(str(time.perf_counter_ns()).encode()).digest())
    count: int = 0

    def make(self, options: dict[str, Any], **changed: str) -> str:
        """The answer to being asked for a new passkey."""
        numbers = self.key.public_key().public_numbers()
        public = dumps({1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32), -3: numbers.y.to_bytes(32)})
        data = self._data(options["rp"]["id"], 0x41) + bytes(16) + struct.pack(">H", len(self.id)) + self.id + public
        attestation = dumps({"fmt": "none", "attStmt": {}, "authData": data})
        client = self._client("webauthn.create", options, changed)
        return self._answer(clientDataJSON=client, attestationObject=attestation)

    def sign(self, options: dict[str, Any], **changed: str) -> str:
        """The answer to being asked for this passkey."""
        self.count += int(self.counts)
        data = self._data(options["rpId"], 0x01)
        client = self._client("webauthn.get", options, changed)
        signature = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(SHA256()))
        return self._answer(clientDataJSON=client, authenticatorData=data, signature=signature)

    def _data(self, host: str, flags: int) -> bytes:
        flags |= 0x04 if self.verifies else 0
        return hashlib.sha256(host.encode()).digest() + struct.pack(">BI", flags, self.count)

    def _client(self, kind: str, options: dict[str, Any], changed: dict[str, str]) -> bytes:
        told = {"type": kind, "challenge": options["challenge"], "origin": self.origin, "crossOrigin": False}
        return json.dumps(told | changed).encode()

    def _answer(self, **response: bytes) -> str:
        return json.dumps(
            {
                "id": _text(self.id),
                "rawId": _text(self.id),
                "type": "public-key",
                "response": {name: _text(content) for name, content in response.items()},
                "clientExtensionResults": {},
            }
        )
