"""An upstream that wants a credential: registered in Setup, read with it, and called with a person's approval."""

import pytest

from gatelodge.core import orgs
from gatelodge.core.scopes import Scope
from gatelodge.web import looking
from tests.approvals.asking import decide, result, url_of
from tests.gateway.speaking import Client, token
from tests.house import House
from tests.oauth.scenes import person
from tests.people import Person, form
from tests.requirements import requirement
from tests.servers.offering import add_upstream, item, offer, reading, server, turn_on
from tests.servers.upstreams import Upstream, tool
from tests.setup.offices import administrator, send, sign_in, words

KEY = "Bearer sk-live-0123456789abcdef"
AT = "/setup/mcp-servers/weather"
ONE = f"{AT}/item?kind=tool&name=forecast"


def registered(robin: Person, url: str, credential: str) -> None:
    """The upstream with this credential, activated, which nobody could read yet."""
    answer = send(robin, "/setup/mcp-servers/new?kind=upstream", source=url, label="Weather", allows_private="on")
    assert answer.status_code == 303
    terms = {"credential": credential, "token_url": "http://127.0.0.1:1/token"}
    assert send(robin, f"{AT}/settings", **terms).status_code == 303
    send(robin, "/setup/mcp-servers", name="weather", act="activate")


@requirement("servers:read-with-credential", "servers:conditions")
def test_an_upstream_with_a_fixed_header_is_read_turned_on_and_called_after_an_approval(house_on: House):
    upstream, robin = Upstream(tool("forecast"), tool("send_alert", reads=False)), administrator(house_on)
    upstream.wants = KEY
    with upstream.running() as url:
        registered(robin, url, "header")
        assert "nobody has entered its value" in words(send(robin, AT, act="look", confirm=None))
        fields = form(robin.front.get(f"{AT}/credential"), "/credential") | {"act": "set", "kind": "header"}
        assert robin.front.post(f"{AT}/credential", data=fields | {"secret": KEY}).status_code == 303
        assert "2 are new" in words(send(robin, AT, act="look", confirm=None))
        assert send(robin, ONE, act="save", on="on", asks_first="on").status_code == 303
        assert item(house_on, server(house_on, "weather"), "forecast").asks_first
        assert "Asks first" in words(robin.front.get(f"{AT}/items"))
        sam = sign_in(person(house_on, 1))
        client = Client(house_on, token(house_on, 1, aud=f"{house_on.org.issuer}/mcp/weather"), "weather")
        call = {"name": "forecast", "arguments": {"city": "Oslo"}}
        held = client.modern("tools/call", call)
        assert upstream.called == []
        decide(sam, url_of(held))
        assert "Sunny." in str(result(client.modern("tools/call", call))) and upstream.called == ["forecast"]


@requirement("servers:conditions")
def test_a_tool_can_need_a_scope_of_the_orgs_own_and_no_other(house: House):
    robin, at = administrator(house), "/setup/mcp-servers/sobject-reads/item?kind=tool&name=find"
    assert "no scopes of its own yet" in words(robin.front.get(at))
    told = {"actor": "a test", "now_ms": house.site.clock.now_ms()}
    house.write(orgs.change_scopes, house.org.id, (), (Scope("crm.read", "Read CRM", "Read it"),), **told)
    house.catch_up()
    assert send(robin, at, act="save", scopes="crm.read").status_code == 303
    assert item(house, server(house, "sobject-reads"), "find").scopes == ("crm.read",)
    assert send(robin, at, act="save", scopes="crm.other").status_code == 400
    assert send(robin, at, act="save", scopes=None).status_code == 303
    assert item(house, server(house, "sobject-reads"), "find").scopes == ()


@requirement("servers:read-with-credential", "servers:health")
@pytest.mark.parametrize("credential", ["token_exchange", "user_grant"])
def test_an_upstream_that_each_user_has_their_own_credential_for_is_well_where_it_asks_for_one(
    house: House, credential: str
):
    upstream, robin = Upstream(tool("forecast")), administrator(house)
    with upstream.running() as url:
        registered(robin, url, "none")
        send(robin, AT, act="look", confirm=None)
        turn_on(house, server(house, "weather"), "forecast")
        upstream.wants = KEY
        send(robin, f"{AT}/settings", credential=credential, token_url="http://127.0.0.1:1/token")
        house.later(100)
        house.catch_up()
        house.run(looking.look_at_all(house.site))
        assert "Well" in words(robin.front.get(AT)) and not item(house, server(house, "weather"), "forecast").is_gone
        upstream.wants, upstream.answers = "", 500
        house.later(100)
        house.catch_up()
        house.run(looking.look_at_all(house.site))
        assert "Doesn't answer" in words(robin.front.get(AT))
        assert "Weather doesn't answer" in words(robin.front.get("/setup"))


@requirement("servers:bulk")
def test_all_that_only_read_is_turned_on_at_once_and_all_turned_off(house: House):
    upstream, robin = Upstream(tool("forecast"), tool("send_alert", reads=False)), administrator(house)
    with upstream.running() as url:
        registered(robin, url, "none")
        send(robin, AT, act="look", confirm=None)
    assert send(robin, f"{AT}/items", act="on-reads").status_code == 303
    made = server(house, "weather")
    assert item(house, made, "forecast").is_on and not item(house, made, "send_alert").is_on
    assert send(robin, f"{AT}/items", act="off-all").status_code == 303
    assert not item(house, made, "forecast").is_on


@requirement("setup:home-figures")
def test_home_counts_calls_and_approvals_and_says_nothing_of_servers_that_nobody_looked_at(house_on: House):
    robin = administrator(house_on)
    home = words(robin.front.get("/setup"))
    assert "doesn't answer" not in home and "Calls in 24 hours" in home
    client = Client(house_on, token(house_on, 1), "sobject-reads")
    client.query("SELECT Name FROM Account LIMIT 1")
    send(robin, "/setup/mcp-servers/sobject-reads/item?kind=tool&name=soqlQuery", act="save", asks_first="on")
    client.modern("tools/call", {"name": "soqlQuery", "arguments": {"q": "SELECT Name FROM Account"}})
    house_on.run(house_on.site.calls.settle())
    home = words(robin.front.get("/setup"))
    assert "1 call waits for approval" in home


@requirement("setup:home-figures")
def test_home_leads_to_what_an_upstream_changed_and_to_what_is_new(house: House):
    made, robin = add_upstream(house), administrator(house)
    offer(house, made, reading("forecast"))
    turn_on(house, made, "forecast")
    offer(house, made, reading("forecast", description="Another."), reading("radar"))
    home = robin.front.get("/setup")
    assert "Weather changed what it offers" in words(home) and "Weather offers something new" in words(home)
    assert "/setup/mcp-servers/weather/items?state=waiting" in home.text


@requirement("servers:who-may")
def test_can_this_user_says_of_each_server_whether_and_why_not(house: House):
    robin = administrator(house)
    page = "/setup/mcp-servers/sobject-reads/settings"
    assert "Everyone who may use MCP servers" in words(robin.front.get("/setup/mcp-servers/sobject-reads"))
    assert send(robin, page, permission_sets="Administrator").status_code == 303
    app = robin.front.get("/setup/apps").text.partition("/setup/apps/0xI")[2][:15]
    user = house.told.users[1]["username"]
    answer = words(robin.front.get(f"/setup/apps/0xI{app}/users?username={user}"))
    assert "has none of the permission sets that may use the MCP server sobject-reads" in answer
