"""How clients are connected to an app: the Connect tab, the page for its users, and the command line."""

import base64
import html
import json
import re
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from gatelodge.cli import verbs
from gatelodge.cli.verb import NotFound
from gatelodge.core.apps import presets
from gatelodge.core.errors import Refused
from tests.house import House
from tests.people import Person
from tests.requirements import requirement
from tests.setup.offices import administrator, app_of, token, words
from tests.setup.test_app_life import NAME, connect, path_of

LINK = re.compile(r'<code id="page-link">([^<]+)</code>')


def act(person: Person, path: str, what: str) -> str:
    """Press a button of the page for users; its link afterwards, "" for none."""
    assert person.front.post(f"{path}/connect", data={"form_token": token(person), "act": what}).status_code == 303
    found = LINK.search(person.front.get(f"{path}/connect").text)
    return found[1] if found else ""


@pytest.mark.parametrize("client", presets.BY_NAME)
@requirement("apps:connect")
def test_every_client_has_numbered_steps_with_the_servers_url_and_the_key(house: House, client: str):
    robin, key = administrator(house), app_of(house, NAME).consumer_key
    page = robin.front.get(f"{path_of(house)}/connect?client={client}")
    steps = page.text.split('<ol class="guide">')[1].split("</ol>")[0]
    assert steps.count("<li>") >= 3 and presets.BY_NAME[client].checked in page.text
    for value in (f"{house.issuer}/mcp/sobject-reads", key):
        assert f'data-copy="{value}"' in page.text


@requirement("apps:connect")
def test_install_links_carry_what_the_file_says(house: House):
    robin, key = administrator(house), app_of(house, NAME).consumer_key
    url = f"{house.issuer}/mcp/sobject-reads"
    cursor = robin.front.get(f"{path_of(house)}/connect?client=cursor").text
    link = html.unescape(re.findall(r'href="(cursor://[^"]+)"', cursor)[0])
    asked = parse_qs(urlsplit(link).query)
    server = json.loads(base64.b64decode(asked["config"][0]))
    assert server == {"url": url, "auth": {"CLIENT_ID": key, "scopes": ["mcp_api", "refresh_token"]}}
    assert json.loads(pasted(cursor)[0]) == {"mcpServers": {asked["name"][0]: server}}
    vscode = robin.front.get(f"{path_of(house)}/connect?client=vscode").text
    link = html.unescape(re.findall(r'href="(vscode:[^"]+)"', vscode)[0])
    server = json.loads(unquote(link.removeprefix("vscode:mcp/install?")))
    assert server.pop("name") in json.loads(pasted(vscode)[0])["servers"]
    assert json.loads(pasted(vscode)[0])["servers"]["gatelodge-sobject-reads"] == server
    assert server == {"type": "http", "url": url, "oauth": {"clientId": key}}


def pasted(page: str) -> list[str]:
    """The texts to paste, as they are shown."""
    return [html.unescape(text) for text in re.findall(r"<pre[^>]*><code>(.*?)</code></pre>", page, re.DOTALL)]


@requirement("apps:connect-cloud")
def test_a_client_in_a_cloud_is_told_first_that_it_cant_reach_this_computer(house: House):
    robin = administrator(house)
    for client, is_far in (("claude", True), ("chatgpt", True), ("cursor", False), ("claude-code", False)):
        page = words(robin.front.get(f"{path_of(house)}/connect?client={client}"))
        assert ("can't reach this server" in page) == is_far, client
        assert not is_far or page.index("can't reach this server") < page.index("Advanced settings")


@requirement("apps:connect-page")
def test_the_page_for_users_opens_by_its_link_until_it_is_switched_off_or_replaced(house_on: House):
    robin, path, stranger = administrator(house_on), path_of(house_on), house_on.client()
    assert LINK.search(robin.front.get(f"{path}/connect").text) is None
    first = act(robin, path, "make")
    page = stranger.get(first)
    assert page.status_code == 200 and "noindex" in page.headers["x-robots-tag"] and 'name="robots"' in page.text
    assert app_of(house_on, NAME).consumer_key in page.text and "robin@acme.example" not in page.text
    assert stranger.get(f"{first}?client=cursor").status_code == 200
    second = act(robin, path, "replace")
    assert second != first and stranger.get(first).status_code == 404 and stranger.get(second).status_code == 200
    assert act(robin, path, "off") == "" and stranger.get(second).status_code == 404
    third = act(robin, path, "make")
    assert third not in (first, second) and stranger.get(first).status_code == stranger.get(second).status_code == 404
    for wrong in (third[:-1], third + "A", f"{house_on.issuer}/connect/x", f"{house_on.issuer}/connect/x.\u00e9"):
        assert stranger.get(wrong).status_code == 404, wrong


@requirement("apps:connect-page")
def test_the_page_for_users_says_when_the_app_is_switched_off_and_goes_with_it(house: House):
    robin, path = administrator(house), path_of(house)
    link = act(robin, path, "make")
    robin.front.post(f"{path}/state", data={"form_token": token(robin), "act": "disable"})
    page = house.client().get(link)
    assert "switched off at the moment" in words(page) and "/mcp/sobject-reads" not in page.text
    assert robin.front.post(f"{path}/delete", data={"form_token": token(robin)}).status_code == 303
    assert house.client().get(link).status_code == 404


@requirement("cli:apps")
def test_the_command_line_connects_deletes_and_restores(house_on: House):
    connect(house_on)

    def perform(verb: str, **arguments: object) -> dict[str, object]:
        return house_on.run(verbs.perform(house_on.site, verb, {"api_name": NAME.lower(), **arguments}))

    told = perform("app connect", client="")
    assert told["client"] == "claude-code" and told["client_id"] == app_of(house_on, NAME).consumer_key
    assert "claude mcp add --transport http --client-id" in str(told["servers"])
    for client in ("nobody",):
        with pytest.raises(Refused, match="choose from"):
            perform("app connect", client=client)
    with pytest.raises(Refused, match="used in the last 30 days"):
        perform("app delete", yes=False)
    key = app_of(house_on, NAME).consumer_key
    assert perform("app delete", yes=True)["deleted"] is True and app_of(house_on, NAME) is None
    with pytest.raises(NotFound, match="gatelodge app list"):
        perform("app delete", yes=True)
    assert perform("app restore")["consumer_key"] == key
    with pytest.raises(NotFound, match="was deleted in the last 30 days"):
        perform("app restore")
