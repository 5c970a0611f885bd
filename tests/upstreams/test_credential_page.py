"""The page on which secrets for an upstream are entered, and never read again."""

import pytest

from gatelodge.core import upstream_secrets
from tests.house import House
from tests.oauth.scenes import person
from tests.people import form
from tests.requirements import requirement
from tests.setup.offices import sign_in, words
from tests.upstreams.issuing import Upstream
from tests.upstreams.reaching import given, register

PAGE = "/setup/mcp-servers/tickets/credential"
KEY = "sk-live-0123456789abcdef"


@requirement("credentials:page")
def test_a_secret_is_entered_by_who_verified_themselves_and_shown_never_again(house: House, upstream: Upstream):
    server = register(house, upstream, credential="header", header_name="X-Api-Key")
    robin = sign_in(person(house, 0))
    house.later(601)
    house.catch_up()
    page = robin.front.get(PAGE)
    assert "Not entered" in words(page) and "Verify it" in words(page) and 'type="password"' not in page.text
    sent = form(page, "/logout") | {"act": "set", "kind": "header", "secret": KEY}
    assert "/setup/verify" in robin.front.post(PAGE, data=sent).headers["location"]
    proved = form(robin.front.get(f"/setup/verify?next={PAGE}"), "/verify") | {"password": robin.password}
    assert robin.front.post("/setup/verify", data=proved).headers["location"] == f"{house.issuer}{PAGE}"
    sent = form(robin.front.get(PAGE), "/credential") | {"act": "set", "kind": "header", "secret": KEY}
    assert robin.front.post(PAGE, data=sent).status_code == 303
    assert given(house, server) == {"X-Api-Key": KEY}
    shown = robin.front.get(PAGE)
    assert "••••cdef" in words(shown) and "by robin@acme.example" in words(shown) and KEY not in shown.text
    gone = form(shown, "/credential") | {"act": "remove", "kind": "header"}
    assert robin.front.post(PAGE, data=gone).status_code == 303
    assert "Not entered" in words(robin.front.get(PAGE))


@pytest.mark.parametrize("secret", ["", "  ", "a\nb", "a\r\nX-Evil: 1", "é", " a", "a\x7f", "x" * 4097])
@requirement("credentials:page")
def test_what_no_header_can_hold_is_refused_and_not_shown_again(house: House, upstream: Upstream, secret: str):
    server = register(house, upstream, credential="header")
    robin = sign_in(person(house, 0))
    sent = form(robin.front.get(PAGE), "/credential") | {"act": "set", "kind": "header", "secret": secret}
    answer = robin.front.post(PAGE, data=sent)
    assert answer.status_code == 422 and "aria-invalid" in answer.text and "X-Evil" not in answer.text
    assert house.read(upstream_secrets.of_server, house.org.id, server.id) == []


@requirement("credentials:page")
def test_the_page_says_what_each_kind_gives_and_what_the_issuer_must_be_told(house: House, upstream: Upstream):
    robin = sign_in(person(house, 0))
    token_url = f"{upstream.origin}/token"
    register(house, upstream, "a-one", credential="client_credentials", token_url=token_url, client_id="us")
    register(house, upstream, "a-two", credential="user_grant", sends_identity=True)
    register(house, upstream, "a-three")
    one, two, three = (
        words(robin.front.get(f"/setup/mcp-servers/{name}/credential")) for name in ("a-one", "a-two", "a-three")
    )
    assert "the same for all users" in one and "Client secret" in one
    assert f"{house.issuer}/setup/upstreams/a-two/callback" in two and "Gatelodge-Identity" in two
    assert "open to whoever reaches it" in three and "secret" not in three.lower()
