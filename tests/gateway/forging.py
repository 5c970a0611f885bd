"""Forged access tokens: what an attacker makes of a good token, of the public key, of keys of their own, and of our words.

``forgeries`` is a table of name and maker; a maker gets the ``Workshop`` and hands back what goes behind ``Bearer``.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from functools import cached_property
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from gatelodge.core import keys, tokens
from tests.gateway.speaking import claims, token
from tests.house import House

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
URL = "https://keys.attacker.example/jwks.json"
B64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Workshop:
    """A good token of the org, taken apart, and what an attacker has beside it. ``inside`` has the org's own key."""

    def __init__(self, house: House, other: Any) -> None:
        self.house, self.other_org = house, other
        self.ours = house.run(house.site.live.keys(house.org.id))
        self.good = token(house)
        self.head, self.body, self.signature = self.good.split(".")
        self.claims: dict[str, Any] = json.loads(unb64(self.body))
        self.public: dict[str, Any] = json.loads(self.ours.published)["keys"][0]
        self.thief = ECKey.generate_key("P-256")

    @cached_property
    def raw(self) -> bytes:
        return unb64(self.signature)

    def header(self, **changes: Any) -> dict[str, Any]:
        made = {"alg": "ES256", "kid": self.ours.signer.kid, "typ": "at+jwt"} | changes
        return {name: value for name, value in made.items() if value is not None}

    def inside(self, header: dict[str, Any] | bytes | None = None, body: dict[str, Any] | bytes | None = None) -> str:
        """Signed with the org's own key: only what it says can be wrong."""
        return self.signed(self.ours.signer.key, header, body)

    def stolen(self, header: dict[str, Any] | bytes | None = None, body: dict[str, Any] | bytes | None = None) -> str:
        """Signed with a key of the attacker's."""
        return self.signed(self.thief, header, body)

    def signed(self, key: ECKey, header: Any = None, body: Any = None) -> str:
        head = header if isinstance(header, bytes) else json.dumps(header or self.header()).encode()
        said = body if isinstance(body, bytes) else json.dumps(body or self.claims).encode()
        text = f"{b64(head)}.{b64(said)}"
        private = key.private_key
        assert private is not None
        r, s = tokens.decode_dss_signature(private.sign(text.encode(), tokens.ES256))
        return f"{text}.{b64(r.to_bytes(32, 'big') + min(s, ORDER - s).to_bytes(32, 'big'))}"

    def saying(self, **changes: Any) -> str:
        """Signed with the org's own key, with these claims changed or (None) left out."""
        said = self.claims | changes
        return self.inside(body={name: value for name, value in said.items() if value is not None})

    def by(self, key: Any, alg: str, **header: Any) -> str:
        made = self.header(alg=alg, **header)
        return jws.serialize_compact(made, json.dumps(self.claims), key, algorithms=[alg])

    def hmac(self, secret: bytes, alg: str = "HS256") -> str:
        text = f"{b64(json.dumps(self.header(alg=alg)).encode())}.{b64(json.dumps(self.claims).encode())}"
        digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[alg]
        return f"{text}.{b64(hmac.new(secret, text.encode(), digest).digest())}"

    def with_signature(self, raw: bytes) -> str:
        return f"{self.head}.{self.body}.{b64(raw)}"

    def with_body(self, **changes: Any) -> str:
        """The good token's signature under other claims."""
        return f"{self.head}.{b64(json.dumps(self.claims | changes).encode())}.{self.signature}"

    def of_other_org(self, **changes: Any) -> str:
        """A token of the other org, by its own key, with these claims."""
        theirs = self.house.run(self.house.site.live.keys(self.other_org.id))
        return tokens.sign(theirs.signer.key, theirs.signer.algorithm, theirs.signer.kid, claims(self.house, **changes))

    def retired(self) -> str:
        """Signed with a key that the org published once, and no longer does."""
        ring, org_id = self.house.site.ring, self.house.org.id
        gone = keys.generate(ring, org_id=org_id, algorithm="ES256", now=1, signs_from=1)
        return self.signed(keys.unseal(ring, gone))

    def other_kid(self) -> str:
        return self.house.run(self.house.site.live.keys(self.other_org.id)).signer.kid

    @property
    def pem(self) -> bytes:
        return self.ours.signer.key.as_pem(private=False)

    @property
    def now(self) -> int:
        return self.house.site.clock.now()


def _der(w: Workshop) -> bytes:
    return encode_dss_signature(int.from_bytes(w.raw[:32], "big"), int.from_bytes(w.raw[32:], "big"))


def _jwk(key: Any) -> dict[str, Any]:
    return key.as_dict(private=False)


Maker = Callable[[Workshop], str]

ALGORITHMS: dict[str, Maker] = {
    "alg none, no signature": lambda w: f"{b64(json.dumps(w.header(alg='none')).encode())}.{w.body}.",
    "alg none, old signature": lambda w: f"{b64(json.dumps(w.header(alg='none')).encode())}.{w.body}.{w.signature}",
    "alg None": lambda w: f"{b64(json.dumps(w.header(alg='None')).encode())}.{w.body}.{w.signature}",
    "alg NONE signed by us": lambda w: w.inside(w.header(alg="NONE")),
    "alg empty": lambda w: w.inside(w.header(alg="")),
    "alg left out": lambda w: w.inside(w.header(alg=None)),
    "alg null": lambda w: w.inside(json.dumps(w.header() | {"alg": None}).encode()),
    "alg a list": lambda w: w.inside(w.header(alg=["ES256"])),
    "alg a number": lambda w: w.inside(w.header(alg=256)),
    "alg es256 in lower case": lambda w: w.inside(w.header(alg="es256")),
    "HS256 with the public key as PEM": lambda w: w.hmac(w.pem),
    "HS256 with the public key as JWK": lambda w: w.hmac(json.dumps(w.public).encode()),
    "HS256 with the key's x": lambda w: w.hmac(unb64(w.public["x"])),
    "HS512 with the public key as PEM": lambda w: w.hmac(w.pem, "HS512"),
    "HS384 with the kid": lambda w: w.hmac(w.ours.signer.kid.encode(), "HS384"),
    "HS256 with an empty key": lambda w: w.hmac(b""),
    "RS256 with a key of their own": lambda w: w.by(RSAKey.generate_key(2048), "RS256"),
    "PS256 with a key of their own": lambda w: w.by(RSAKey.generate_key(2048), "PS256"),
    "ES384 with a key of their own": lambda w: w.by(ECKey.generate_key("P-384"), "ES384"),
    "ES512 with a key of their own": lambda w: w.by(ECKey.generate_key("P-521"), "ES512"),
    "Ed25519 with a key of their own": lambda w: w.by(OKPKey.generate_key("Ed25519"), "Ed25519"),
    "HS256 with a secret of their own": lambda w: w.by(OctKey.generate_key(256), "HS256"),
}
KEYS: dict[str, Maker] = {
    "their key under our kid": lambda w: w.stolen(),
    "their key under its own kid": lambda w: w.stolen(w.header(kid=w.thief.thumbprint())),
    "their key embedded as jwk": lambda w: w.stolen(w.header(jwk=_jwk(w.thief))),
    "their key embedded as jwk without kid": lambda w: w.stolen(w.header(jwk=_jwk(w.thief), kid=None)),
    "their keys at a jku": lambda w: w.stolen(w.header(jku=URL)),
    "their certificate at an x5u": lambda w: w.stolen(w.header(x5u=URL)),
    "their certificate as x5c": lambda w: w.stolen(w.header(x5c=[base64.b64encode(b"certificate").decode()])),
    "x5t of their certificate": lambda w: w.stolen(w.header(x5t=b64(b"0" * 20))),
    "our signature with a jwk beside it": lambda w: w.inside(w.header(jwk=w.public)),
    "our signature with a jku beside it": lambda w: w.inside(w.header(jku=URL)),
    "kid unknown": lambda w: w.inside(w.header(kid="unknown")),
    "kid empty": lambda w: w.inside(w.header(kid="")),
    "kid left out": lambda w: w.inside(w.header(kid=None)),
    "kid a path": lambda w: w.stolen(w.header(kid="../../../../dev/null")),
    "kid SQL": lambda w: w.stolen(w.header(kid="' OR '1'='1")),
    "kid a URL": lambda w: w.stolen(w.header(kid=URL)),
    "kid a number": lambda w: w.inside(w.header(kid=7)),
    "kid an object": lambda w: w.inside(w.header(kid={"kid": w.ours.signer.kid})),
    "kid with NUL": lambda w: w.inside(w.header(kid=f"{w.ours.signer.kid}\0")),
    "kid of another org, our signature": lambda w: w.inside(w.header(kid=w.other_kid())),
    "another org's key, its own kid": lambda w: w.of_other_org(),
    "another org's key, our kid": lambda w: w.signed(
        w.house.run(w.house.site.live.keys(w.other_org.id)).signer.key, w.header()
    ),
    "another org's token for its own server": lambda w: w.of_other_org(
        iss=w.other_org.issuer, aud=f"{w.other_org.issuer}/mcp/sobject-reads"
    ),
    "a retired key's signature": lambda w: w.retired(),
}
HEADERS: dict[str, Maker] = {
    "crit of an unknown extension": lambda w: w.inside(w.header(crit=["exp"], exp=1)),
    "crit empty": lambda w: w.inside(w.header(crit=[])),
    "b64 false": lambda w: w.inside(w.header(b64=False, crit=["b64"])),
    "b64 true": lambda w: w.inside(w.header(b64=True, crit=["b64"])),
    "zip": lambda w: w.inside(w.header(zip="DEF")),
    "enc, as of a JWE": lambda w: w.inside(w.header(enc="A128GCM")),
    "cty JWT": lambda w: w.inside(w.header(cty="JWT")),
    "typ JWT": lambda w: w.inside(w.header(typ="JWT")),
    "typ of an ID token left out": lambda w: w.inside(w.header(typ=None)),
    "typ id_token+jwt": lambda w: w.inside(w.header(typ="id_token+jwt")),
    "typ logout+jwt": lambda w: w.inside(w.header(typ="logout+jwt")),
    "typ oauth-id-jag+jwt": lambda w: w.inside(w.header(typ="oauth-id-jag+jwt")),
    "typ dpop+jwt": lambda w: w.inside(w.header(typ="dpop+jwt")),
    "typ text/at+jwt": lambda w: w.inside(w.header(typ="text/at+jwt")),
    "typ with a space": lambda w: w.inside(w.header(typ="at+jwt ")),
    "alg twice, ours first": lambda w: w.stolen(
        f'{{"alg":"ES256","kid":"{w.ours.signer.kid}","typ":"at+jwt","alg":"none"}}'.encode()
    ),
    "alg twice, none first": lambda w: w.stolen(
        f'{{"alg":"none","kid":"{w.ours.signer.kid}","typ":"at+jwt","alg":"ES256"}}'.encode()
    ),
    "header an array": lambda w: w.inside(b"[]"),
    "header a string": lambda w: w.inside(b'"ES256"'),
    "header empty object": lambda w: w.inside(b"{}"),
    "header not JSON": lambda w: w.inside(b"not json"),
    "header nested arrays": lambda w: f"{b64(b'[' * 3000)}.{w.body}.{w.signature}",
    "alg nested arrays": lambda w: w.inside(b'{"alg":' + b"[" * 1500 + b"]" * 1500 + b"}"),
    "header bad UTF-8": lambda w: w.inside(b'{"alg":"ES256","kid":"\xff","typ":"at+jwt"}'),
    "header half a surrogate": lambda w: w.inside(b'{"alg":"ES256","kid":"\\ud800","typ":"at+jwt"}'),
    "header with a byte order mark": lambda w: w.inside(b"\xef\xbb\xbf" + json.dumps(w.header()).encode()),
}
CLAIMS: dict[str, Maker] = {
    "aud another server": lambda w: w.saying(aud=f"{w.house.issuer}/mcp/other"),
    "aud the issuer": lambda w: w.saying(aud=w.house.issuer),
    "aud with a slash": lambda w: w.saying(aud=f"{w.claims['aud']}/"),
    "aud in upper case": lambda w: w.saying(aud=w.claims["aud"].upper()),
    "aud a list with ours in it": lambda w: w.saying(aud=[w.claims["aud"], "https://evil.example"]),
    "aud a list of ours": lambda w: w.saying(aud=[w.claims["aud"]]),
    "aud left out": lambda w: w.saying(aud=None),
    "aud empty": lambda w: w.saying(aud=""),
    "aud the client, as of an ID token": lambda w: w.saying(aud=w.claims["client_id"], nonce="n"),
    "iss another": lambda w: w.saying(iss="https://evil.example"),
    "iss with a slash": lambda w: w.saying(iss=f"{w.house.issuer}/"),
    "iss another org's": lambda w: w.saying(iss=w.other_org.issuer),
    "iss left out": lambda w: w.saying(iss=None),
    "expired": lambda w: w.saying(exp=w.now),
    "expired long ago": lambda w: w.saying(exp=1),
    "exp negative": lambda w: w.saying(exp=-1),
    "exp left out": lambda w: w.saying(exp=None),
    "exp a string": lambda w: w.saying(exp=str(w.now + 600)),
    "exp a fraction": lambda w: w.saying(exp=w.now + 600.5),
    "exp infinite": lambda w: w.inside(body=json.dumps(w.claims | {"exp": float("inf")}).encode()),
    "exp an object": lambda w: w.saying(exp={"in": 600}),
    "exp true": lambda w: w.saying(exp=True),
    "iat in the future": lambda w: w.saying(iat=w.now + 3600, exp=w.now + 7200),
    "iat left out": lambda w: w.saying(iat=None),
    "sub left out": lambda w: w.saying(sub=None),
    "sub nobody": lambda w: w.saying(sub="005000000000000AAA"),
    "client_id left out": lambda w: w.saying(client_id=None),
    "client_id nobody's": lambda w: w.saying(client_id="3MVG9" + "A" * 80),
    "client_id no key": lambda w: w.saying(client_id="../x"),
    "no connection": lambda w: w.saying(connection_id=None),
    "exp twice, the last long ago": lambda w: w.inside(
        body=json.dumps(w.claims).encode().replace(b'"jti"', b'"exp": 1, "jti"')
    ),
    "aud twice, the last another": lambda w: w.inside(
        body=json.dumps(w.claims).encode().replace(b'"jti"', b'"aud": "https://evil.example", "jti"')
    ),
    "claims an array": lambda w: w.inside(body=b"[]"),
    "claims nested arrays": lambda w: w.inside(body=b"[" * 2000 + b"]" * 2000),
    "an unknown claim of nested arrays": lambda w: w.inside(body=b'{"x":' + b"[" * 2500 + b"]" * 2500 + b"}"),
    "claims not JSON": lambda w: w.inside(body=b"claims"),
    "claims bad UTF-8": lambda w: w.inside(body=b'{"iss":"\xff"}'),
}
SIGNATURES: dict[str, Maker] = {
    "other claims under the signature": lambda w: w.with_body(scope="mcp_api admin"),
    "another user under the signature": lambda w: w.with_body(sub="005000000000001AAA"),
    "a longer life under the signature": lambda w: w.with_body(exp=w.now + 10**6),
    "signature empty": lambda w: f"{w.head}.{w.body}.",
    "signature left out": lambda w: f"{w.head}.{w.body}",
    "signature cut": lambda w: w.with_signature(w.raw[:-1]),
    "signature halved": lambda w: w.with_signature(w.raw[:32]),
    "signature longer": lambda w: w.with_signature(w.raw + b"\0"),
    "signature zero": lambda w: w.with_signature(bytes(64)),
    "signature r zero": lambda w: w.with_signature(bytes(32) + w.raw[32:]),
    "signature s zero": lambda w: w.with_signature(w.raw[:32] + bytes(32)),
    "signature r of the order": lambda w: w.with_signature(ORDER.to_bytes(32, "big") + w.raw[32:]),
    "signature all ones": lambda w: w.with_signature(b"\xff" * 64),
    "signature r and s swapped": lambda w: w.with_signature(w.raw[32:] + w.raw[:32]),
    "signature with s mirrored": lambda w: w.with_signature(
        w.raw[:32] + (ORDER - int.from_bytes(w.raw[32:], "big")).to_bytes(32, "big")
    ),
    "signature one bit off": lambda w: w.with_signature(bytes([w.raw[0] ^ 1]) + w.raw[1:]),
    "signature DER": lambda w: w.with_signature(_der(w)),
    "signature in other last bits": lambda w: w.good[:-1] + B64[B64.index(w.good[-1]) ^ 1],
    "signature padded": lambda w: f"{w.good}==",
    "signature in plain base64": lambda w: f"{w.head}.{w.body}.{base64.b64encode(w.raw).decode()}",
    "signature in hex": lambda w: f"{w.head}.{w.body}.{w.raw.hex()}",
    "signature of the body alone": lambda w: f"{w.head}.{w.body}.{w.stolen().split('.')[2]}",
}
SHAPES: dict[str, Maker] = {
    "nothing but dots": lambda w: "..",
    "one word": lambda w: "opensesame",
    "four segments": lambda w: f"{w.good}.{w.signature}",
    "five segments, as of a JWE": lambda w: f"{w.head}..{w.body}.{w.signature}.{w.signature}",
    "a dot more": lambda w: f"{w.good}.",
    "a dot before": lambda w: f".{w.good}",
    "two tokens": lambda w: f"{w.good} {w.good}",
    "two tokens and a comma": lambda w: f"{w.good},{w.good}",
    "quoted": lambda w: f'"{w.good}"',
    "another scheme inside": lambda w: f"Bearer {w.good}",
    "percent-encoded": lambda w: w.good.replace(".", "%2E"),
    "JSON serialization": lambda w: json.dumps(
        {"payload": w.body, "protected": w.head, "signature": w.signature}
    ).replace(" ", ""),
    "cut in the middle": lambda w: w.good[: len(w.good) // 2],
    "huge, in the body": lambda w: f"{w.head}.{'A' * 9000}.{w.signature}",
    "huge, signed by us": lambda w: w.inside(body=msgspec.json.encode(w.claims | {"jti": "j" * 7000})),
    "huge, in dots": lambda w: "." * 9000,
    "latin-1": lambda w: f"{w.head}.{w.body}.\xe9",
    "a refresh token": lambda w: "k1.AAAAAAAAAAAAAAAAAAAAAA.0.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "an opaque token": lambda w: "00Dxx0000001gPL!AR8AQJXg5oj8jXSgxJfA0lBog.39AsX.LVpxezPwuX5VAIrrbbHMuol7",
}
FORGERIES: dict[str, Maker] = ALGORITHMS | KEYS | HEADERS | CLAIMS | SIGNATURES | SHAPES
