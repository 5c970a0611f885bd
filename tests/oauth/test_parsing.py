"""Reading what clients send: the parsers of a form, of an authorization request and of PKCE, on any input."""

import base64
import hashlib
import string
from collections import Counter
from typing import Any
from urllib.parse import urlencode

from hypothesis import given
from hypothesis import strategies as st

from gatelodge.oauth import pkce, requests
from gatelodge.web import forms
from gatelodge.web.errors import BadRequest
from tests.generated import MANY
from tests.house import House
from tests.oauth.scenes import add_app, connect, is_description, person, signed_in
from tests.people import returned
from tests.requirements import requirement

NAMES = st.sampled_from(
    ["client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "code_challenge", "prompt",
     "code_challenge_method", "resource", "max_age", "login_hint", "request", "request_uri", "nonce", "x"]
)  # fmt: skip
VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
PAIRS = st.lists(st.tuples(NAMES, VALUES), max_size=12)
ANY_QUERY = st.one_of(
    st.binary(max_size=200),
    PAIRS.map(lambda pairs: urlencode(pairs).encode()),
    st.lists(
        st.sampled_from([b"client_id", b"=", b"&", b"%", b"%00", b"%ff", b"+", b";", b"state", b"\xff", b"a"])
    ).map(b"".join),
)


@requirement("authorize:any-bytes")
@MANY
@given(ANY_QUERY)
def test_any_bytes_are_a_request_or_are_refused(raw: bytes):
    try:
        fields = forms.parse(raw)
    except BadRequest as refused:
        assert refused.status == 400 and str(refused)
        return
    for name, value in fields:
        assert "\x00" not in name + value
        assert (name + value).encode().decode() == name + value
    found = requests.parse(fields)
    assert found.max_age is None or 0 <= found.max_age < 10**9


@requirement("authorize:any-bytes", "authorize:parameters-once")
@MANY
@given(PAIRS)
def test_what_was_sent_is_what_is_read_and_what_came_twice_is_named(pairs: list[tuple[str, str]]):
    fields = forms.parse(urlencode(pairs).encode())
    assert [pair for pair in fields if pair[0]] == pairs
    found = requests.parse(fields)
    sent = [(name, value) for name, value in pairs if value]
    counts = Counter(name for name, _ in sent)
    assert set(found.repeated) == {name for name, count in counts.items() if count > 1}
    first = dict(reversed(sent))
    for name in ("client_id", "redirect_uri", "response_type", "response_mode", "code_challenge", "login_hint"):
        assert getattr(found, name) == first.get(name, "")
    for name in ("scope", "state", "resource"):
        assert getattr(found, name) == first.get(name)
    assert found.prompt == tuple(first.get("prompt", "").split())
    assert found.has_request_object is bool({"request", "request_uri"} & set(first))
    assert found.max_age_is_bad is ("max_age" in first and found.max_age is None)


@requirement("token:requests")
@MANY
@given(PAIRS)
def test_a_form_is_read_once_or_refused(pairs: list[tuple[str, str]]):
    counts = Counter(name for name, value in pairs if value)
    try:
        found = forms.once(pairs)
    except forms.Repeated as repeated:
        assert counts[repeated.name] > 1
    else:
        assert found == {name: value for name, value in pairs if value} and set(counts.values()) <= {1}


@requirement("authorize:any-bytes", "authorize:user-before-client", "authorize:error-text")
def test_no_query_whatever_its_bytes_is_answered_with_a_fault_or_a_stray_redirect(house: House):
    client, who = add_app(house), person(house)
    signed_in(who, client)
    known = {"client_id": client.client_id, "redirect_uri": client.redirect_uri}
    cookies = "; ".join(f"{name}={value}" for name, value in who.front.cookies.items())
    queries = st.one_of(ANY_QUERY, ANY_QUERY.map(lambda raw: urlencode(known).encode() + b"&" + raw))

    @MANY
    @given(queries, st.booleans())
    def check(query: bytes, is_signed_in: bool) -> None:
        house.later(4)  # what waits is bounded for each address
        status, headers = house.run(get(house, query, cookies if is_signed_in else ""))
        assert status in (303, 400), status
        location = headers.get("location", "")
        if status == 400 or location.startswith(f"{house.issuer}/flow?request="):
            return
        assert location.startswith(f"{client.redirect_uri}?error=") and location.isascii()
        back = returned(Answer(location))
        assert back["iss"] == house.issuer and is_description(back["error_description"])

    check()


class Answer:
    """A redirect, as ``returned`` reads one."""

    status_code = 303

    def __init__(self, location: str) -> None:
        self.headers = {"location": location}


async def get(house: House, query: bytes, cookies: str) -> tuple[int, dict[str, str]]:
    """A GET of authorize with these very bytes, which no HTTP client would send."""
    sent: list[Any] = []
    headers = [(b"host", b"localhost:8765"), (b"cookie", cookies.encode())]
    scope = {
        "type": "http", "method": "GET", "path": "/services/oauth2/authorize", "query_string": query, "headers": headers,
        "scheme": "http", "server": ("localhost", 8765), "client": ("203.0.113.9", 1), "http_version": "1.1",
        "raw_path": b"/services/oauth2/authorize", "root_path": "", "asgi": {"version": "3.0"},
    }  # fmt: skip

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await house.app(scope, receive, send)
    return sent[0]["status"], {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}


@requirement("core:pkce")
def test_the_rfcs_own_example():
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert pkce.challenge_of(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


@requirement("core:pkce")
@MANY
@given(st.text(string.ascii_letters + string.digits + "-._~", min_size=43, max_size=128))
def test_every_verifier_has_a_challenge_of_its_own(verifier: str):
    assert pkce.is_verifier(verifier)
    challenge = pkce.challenge_of(verifier)
    assert pkce.is_challenge(challenge)
    assert base64.urlsafe_b64decode(challenge + "=") == hashlib.sha256(verifier.encode()).digest()
    for other in (verifier[:-1] + ("a" if verifier[-1] != "a" else "b"), verifier.swapcase()):
        assert (pkce.challenge_of(other) == challenge) is (other == verifier)


@requirement("core:pkce")
@MANY
@given(st.one_of(st.text(max_size=140), st.text(string.ascii_letters + "-._~ +/=é\n", min_size=40, max_size=131)))
def test_no_other_text_is_a_verifier_or_a_challenge(text: str):
    unreserved = set(string.ascii_letters + string.digits + "-._~")
    assert pkce.is_verifier(text) is (43 <= len(text) <= 128 and set(text) <= unreserved)
    assert pkce.is_challenge(text) is (len(text) == 43 and set(text) <= unreserved - set(".~") | {"_"})


@requirement("token:jwt-for-resource", "authorize:any-bytes")
def test_a_request_in_an_odd_but_lawful_spelling_is_understood(house: House):
    client, who = add_app(house), person(house)
    url = client.authorize_url()
    spelled = url.replace("response_type", "%72esponse%5ftype").replace("%2F", "%2f").replace("mcp_api+", "mcp_api%20")
    assert spelled != url and "code" in who.allow(spelled + "&&=&x")
    assert connect(who, client)["scope"] == "mcp_api refresh_token"
