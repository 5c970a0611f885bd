"""What no client means: the same 4xx on both databases, at every endpoint and form that the route table names."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from gatelodge.app import App
from gatelodge.web.routes import Route
from tests.house import House
from tests.oauth.scenes import add_app, connect, person
from tests.people import Form, Person
from tests.postgres import Cluster
from tests.requirements import requirement

FORM = "application/x-www-form-urlencoded"
UNREADABLE = {
    "NUL": b"%00", "bad UTF-8": b"%ff", "an overlong slash": b"%c0%af", "half a surrogate pair": b"%ed%a0%80",
    "a cut sequence": b"x%e2%82", "half a pair in CESU-8": b"%ed%b0%80y",
}  # fmt: skip
FIELDS = (
    "client_id", "token", "grant_type", "code", "refresh_token", "username", "password", "request_id", "form_token",
    "label", "name", "redirect_uri", "scope", "state", "request", "next", "id_token_hint", "post_logout_redirect_uri",
    "user_code", "never_heard_of",
)  # fmt: skip

NO_BODY = ("/services/oauth2/userinfo", "/id/{org}/{user}", "/mcp/{server}")
"""Rows whose POST reads no form: the token in the header is all that they look at first."""


def routes(app: App) -> list[Route]:
    """Every row that the application answers: a new endpoint stands here without being named."""
    return list({id(route): route for place in app._dispatch._exact.values() for route in place.values()}.values())


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, postgres_server: Cluster) -> Iterator[list[tuple[House, Any]]]:
    """The same org on each database, with a browser in which its administrator is signed in."""
    with (
        House(tmp_path_factory.mktemp("sqlite")) as one,
        House(tmp_path_factory.mktemp("postgresql"), database=postgres_server.fresh_database()) as other,
    ):
        yield [(house, signed_in(house)) for house in (one, other)]


def signed_in(house: House) -> Any:
    who = person(house)
    who.sign_in_to_setup()
    return who.front


def answers(both: list[tuple[House, Any]], method: str, path: str, **options: Any) -> list[tuple[int, str]]:
    """What each database's house answers, without what differs by its keys."""
    found = []
    for _, front in both:
        answer: httpx2.Response = front.request(method, path, **options)
        found.append((answer.status_code, answer.headers.get("content-type", "")))
    assert found[0] == found[1], (method, path, found)
    return found


def filled(route: Route, value: str = "x") -> str:
    """The row's path with something in each of its places."""
    parts = [value if part.startswith("{") else part for part in route.path.split("/")]
    return "/".join(parts) or "/"


def all_routes(both: list[tuple[House, Any]]) -> list[tuple[Route, str]]:
    found = [(route, method) for route in routes(both[0][0].app) for method in route.methods]
    assert len(found) > 40
    return found


@requirement("bad-input:unreadable")
@pytest.mark.parametrize("what", UNREADABLE)
def test_a_query_that_no_text_is_gets_the_same_4xx_everywhere(both: list[tuple[House, Any]], what: str):
    for route, method in all_routes(both):
        for name in ("client_id", "request", "next", "never_heard_of"):
            path = f"{filled(route)}?{name}={UNREADABLE[what].decode()}"
            assert {status for status, _ in answers(both, method, path)} == {400}, (method, path)


@requirement("bad-input:unreadable")
@pytest.mark.parametrize("what", UNREADABLE)
def test_a_form_that_no_text_is_gets_the_same_4xx_everywhere(both: list[tuple[House, Any]], what: str):
    raw = UNREADABLE[what]
    for route, method in all_routes(both):
        if method != "POST":
            continue
        for name in ("client_id", "token", "username", "form_token", "never_heard_of"):
            for content in (raw + b"=x&a=b", b"a=b&" + name.encode() + b"=x" + raw + b"&c=d"):
                found = answers(both, method, filled(route), content=content, headers={"Content-Type": FORM})
                assert all(400 <= status < 500 for status, _ in found), (route.path, name, found)


@requirement("bad-input:unreadable")
@pytest.mark.parametrize("what", UNREADABLE)
def test_a_path_that_no_text_is_gets_the_same_4xx_everywhere(both: list[tuple[House, Any]], what: str):
    for route, method in all_routes(both):
        for raw in (UNREADABLE[what].decode(), f"x{UNREADABLE[what].decode()}y"):
            path = filled(route, raw) if "{" in route.path else f"{route.path.rstrip('/')}/{raw}"
            assert {status for status, _ in answers(both, method, path)} == {400}, (method, path)


@requirement("bad-input:unreadable")
@pytest.mark.parametrize("text", ["é\u202e\ufeff\U0001f600'\"\\%_\x01\x7f\r\n", "a" * 5000])
def test_characters_that_are_rare_but_text_upset_neither_database(both: list[tuple[House, Any]], text: str):
    """What both databases can hold is no error of theirs: no 5xx, and the same answer, behind the form's token too."""
    for route, method in all_routes(both):
        found = []
        for house, front in both:
            sent = dict.fromkeys(FIELDS, text) | {"form_token": form_token(house, front)} if method == "POST" else {}
            options: dict[str, Any] = {"data": sent} if sent else {"params": {"x": text}}
            answer = front.request(method, filled(route), **options)
            found.append((answer.status_code, answer.headers.get("content-type", "")))
        assert found[0] == found[1] and found[0][0] < 500, (method, route.path, found)


def form_token(house: House, front: Any) -> str:
    """That of any form of a signed-in administrator, who signs in again after a row has signed them out."""
    page = front.get("/setup/password")
    if page.status_code != 200:
        user = house.told.users[0]
        Person(front, user["username"], user["password"]).sign_in_to_setup()
        page = front.get("/setup/password")
    return next(fields["form_token"] for _, fields in Form(page.text).forms if "form_token" in fields)


@requirement("bad-input:unreadable")
def test_json_and_credentials_that_hold_nul_or_half_a_pair_are_refused_alike(both: list[tuple[House, Any]]):
    for headers in (
        {"Authorization": "Basic eDpcAA=="}, {"Authorization": "Basic /zp4"}, {"Authorization": "Basic JTAwOiUwMA=="},
        {"Authorization": "Basic JWZmOiVlZCVhMCU4MA=="}, {b"Authorization": b"Bearer \xff"},
    ):  # fmt: skip
        for path in ("token", "revoke", "introspect", "userinfo"):
            sent = {"grant_type": "refresh_token", "refresh_token": "x", "token": "x"}
            found = answers(both, "POST", f"/services/oauth2/{path}", data=sent, headers=headers)
            assert all(400 <= status < 500 for status, _ in found), (path, headers, found)
    tokens = [connect(person(house), add_app(house))["access_token"] for house, _ in both]
    for body in (b'{"a": "\x00"}', b"\xff", b'"\xed\xa0\x80"', b"{", b"[]", b"", b"null"):
        found = [
            front.post(
                "/mcp/sobject-reads",
                content=body,
                headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            ).status_code
            for (_, front), token in zip(both, tokens, strict=True)
        ]
        assert found[0] == found[1] and 400 <= found[0] < 500, (body, found)


@requirement("bad-input:methods")
def test_an_unknown_method_is_told_which_ones_there_are(both: list[tuple[House, Any]]):
    house, front = both[0]
    by_path: dict[str, set[str]] = {}
    for route in routes(house.app):
        by_path.setdefault(route.path, set()).update(route.methods)
    for path, methods in by_path.items():
        whole = filled(next(route for route in routes(house.app) if route.path == path))
        for method in ("TRACE", "PROPFIND", "GETX", "PUT", "DELETE", "GET", "POST"):
            if method in methods:
                continue
            answer = front.request(method, whole)
            assert answer.status_code == 405, (method, whole, answer.status_code)
            allowed = set(answer.headers["allow"].split(", "))
            assert allowed == methods | ({"HEAD"} if "GET" in methods else set()), (whole, allowed)


@requirement("bad-input:content-types")
def test_a_body_of_another_type_is_refused_by_every_row_that_reads_one(both: list[tuple[House, Any]]):
    house, front = both[0]
    readers = [route for route in routes(house.app) if "POST" in route.methods and route.path not in NO_BODY]
    for route in readers:
        for content_type in ("application/json", "text/plain", "multipart/form-data; boundary=x", ""):
            answer = front.post(filled(route), content=b"a=b", headers={"Content-Type": content_type})
            # Endpoints for clients say so as RFC 6749 §5.2 has it, in JSON.
            is_json = answer.status_code == 400 and answer.json()["error"] == "invalid_request"
            assert answer.status_code == 415 or is_json, (route.path, content_type, answer.status_code)


@requirement("bad-input:repeated")
def test_no_parameter_may_come_twice_at_any_endpoint_for_clients(both: list[tuple[House, Any]]):
    house, front = both[0]
    client = add_app(house)
    for route in routes(house.app):
        if not route.path.startswith("/services/") or "POST" not in route.methods or route.path in NO_BODY:
            continue
        for name in (*FIELDS[:6], "client_secret", "client_assertion", "resource", "never_heard_of"):
            body = f"client_id={client.client_id}&grant_type=x&token=x&{name}=one&{name}=two"
            answer = front.post(route.path, content=body.encode(), headers={"Content-Type": FORM})
            told = answer.headers.get("location", "") + answer.text  # authorize tells it by the way back
            assert name in told and (answer.status_code == 400 or "error=invalid_" in told), (route.path, name)
    for name in ("client_id", "redirect_uri", "scope", "state", "code_challenge", "resource", "nonce", "prompt"):
        answer = front.get(f"{client.authorize_url(**{name: None})}&{name}=one&{name}=two")
        told = answer.headers.get("location", "") + answer.text
        assert answer.status_code in (303, 400) and name in told and "code=" not in told.replace("code=%", ""), name
