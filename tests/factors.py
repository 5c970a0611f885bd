"""What people carry: an authenticator app, and a security key made of software that speaks as a browser would."""

import hashlib
import html
import json
import re
import struct
from typing import Any

import cbor2
import httpx2
import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from pyotp.totp import TOTP

from gatelodge.core.secrets import base64url
from tests.house import House
from tests.oauth.scenes import decoded
from tests.people import Form, Person, form, form_token

SECOND_FACTORS = "/setup/second-factors"


def act(who: Person, path: str, **fields: str) -> httpx2.Response:
    """Press a button of a Setup page, with the token that its forms carry."""
    return who.front.post(path, data={"form_token": form_token(who.front.get(path))} | fields)


def enrol(house: House, who: Person) -> tuple[TOTP, list[str]]:
    """Set an authenticator app up as its owner does: the app, and the recovery codes that were shown."""
    begun = act(who, SECOND_FACTORS, act="begin-totp")
    assert begun.status_code == 303, begun.text
    page = who.front.get(f"{SECOND_FACTORS}/totp")
    found = re.search(r'id="totp-secret">([^<]+)<', page.text)
    assert found, page.text
    app = TOTP(found[1].replace(" ", ""))
    done = who.front.post(f"{SECOND_FACTORS}/totp", data=form(page, "/totp") | {"code": app.at(house.site.clock.now())})
    assert done.status_code == 200, done.text
    return app, codes_on(done)


def codes_on(page: httpx2.Response) -> list[str]:
    """The recovery codes that a page shows."""
    return re.findall(r"<li><code>([a-z0-9-]{19})</code>", page.text)


def with_password(who: Person) -> httpx2.Response:
    """The answer to name and password at Setup's sign-in page."""
    return who.sign_in_to_setup()


def with_code(who: Person, page: httpx2.Response, code: str, action: str = "/login") -> httpx2.Response:
    """The answer to a second factor."""
    return who.front.post(action, data=form(page, action) | {"code": code})


def is_signed_in(who: Person) -> bool:
    """Whether Setup lets this browser in."""
    answer = who.front.get("/setup")
    assert answer.status_code in (200, 303)
    return answer.status_code == 200


def options_on(page: httpx2.Response) -> dict[str, Any]:
    """What the page's script would hand to ``navigator.credentials``."""
    found = re.search(r'data-options="([^"]+)"', page.text)
    assert found, page.text
    return json.loads(html.unescape(found[1]))


class Authenticator:
    """One key pair, as a security key and a browser together answer (Web Authentication §6, §7)."""

    def __init__(self, origin: str, *, verifies: bool = True) -> None:
        self.origin, self.verifies, self.count = origin, verifies, 0
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.id = hashlib.sha256(str(id(self)).encode()).digest()
        self.user_handle = b""

    def create(self, options: dict[str, Any]) -> str:
        """The browser's answer to registration."""
        numbers = self._key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        self.user_handle = decoded(options["user"]["id"])
        data = self._data(options["rp"]["id"], 0x40)
        data += bytes(16) + struct.pack(">H", len(self.id)) + self.id + cbor2.dumps(cose)
        client_data = self._client_data("webauthn.create", options["challenge"])
        return self._answer(
            clientDataJSON=client_data,
            attestationObject=cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data}),
        )

    def get(self, options: dict[str, Any], *, rp_id: str = "", handle: bytes | None = None) -> str:
        """The browser's answer to a question."""
        data = self._data(rp_id or options["rpId"], 0)
        client_data = self._client_data("webauthn.get", options["challenge"])
        signed = self._key.sign(data + hashlib.sha256(client_data).digest(), ec.ECDSA(hashes.SHA256()))
        return self._answer(
            clientDataJSON=client_data,
            authenticatorData=data,
            signature=signed,
            userHandle=self.user_handle if handle is None else handle,
        )

    def _data(self, rp_id: str, flags: int) -> bytes:
        self.count += 1
        flags |= 0x05 if self.verifies else 0x01
        return hashlib.sha256(rp_id.encode()).digest() + bytes([flags]) + struct.pack(">I", self.count)

    def _client_data(self, kind: str, challenge: str) -> bytes:
        return msgspec.json.encode({"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False})

    def _answer(self, **response: bytes) -> str:
        return json.dumps(
            {
                "id": base64url(self.id),
                "rawId": base64url(self.id),
                "type": "public-key",
                "response": {name: base64url(value) for name, value in response.items()},
                "clientExtensionResults": {},
            }
        )


def add_passkey(who: Person, key: Authenticator, label: str = "Laptop") -> httpx2.Response:
    """Register a key as its owner does."""
    page = who.front.get(f"{SECOND_FACTORS}/passkey")
    made = key.create(options_on(page))
    fields = form(page, "/passkey") | {"label": label, "passkey": made}
    return who.front.post(f"{SECOND_FACTORS}/passkey", data=fields)


def passkey_form(page: httpx2.Response, action: str) -> dict[str, str]:
    """The fields of the page's form that the script sends."""
    return next(fields for target, fields in Form(page.text).forms if target.endswith(action) and "passkey" in fields)
