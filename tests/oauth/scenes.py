"""What the tests of the protocol begin with: apps, users, orgs and servers of one house, and a client that is let in."""

import base64
import itertools
import json
from typing import Any

import httpx2
import msgspec

from gatelodge.cli import seeding
from gatelodge.core import credentials, mcp_servers, orgs, propagation, secrets, users
from gatelodge.core.apps import policies, registry, settings
from gatelodge.core.credentials import Credential
from gatelodge.core.ids import MCP_SERVER, USER
from gatelodge.core.orgs import Org
from tests.house import House
from tests.people import OAuthClient, Person

HTTPS = "https://client.example/callback"
LOOPBACK = "http://localhost:8080/callback"
CUSTOM = "cursor://anysphere.cursor-mcp/oauth/callback"
ALL_SCOPES = ("mcp_api", "refresh_token")
NUMBERS = itertools.count(1)


def add_app(
    house: House,
    *callback_urls: str,
    org: Org | None = None,
    scopes: tuple[str, ...] = ALL_SCOPES,
    label: str = "",
    checked: bool = True,
    **changes: Any,
) -> OAuthClient:
    """A client whose app was just registered. ``changes`` are Policies; unchecked, even what Setup would refuse."""
    at, n = org or house.org, next(NUMBERS)
    named = {name: value for name, value in changes.items() if name in settings.LABELS}
    made = settings.Settings(
        **{"label": label or f"App {n}", "api_name": f"App_{n}"} | named,
        contact_email="dev@client.example",
        callback_urls=callback_urls or (HTTPS,),
        scopes=scopes,
    )
    app = seeding.new_app(house.site, at.id, made, preset="other", created_by="robin@acme.example")
    ours = {name: value for name, value in changes.items() if name not in named}
    app = msgspec.structs.replace(app, policies=policies.Policies(**ours))
    if checked:
        house.write(propagation.create_app, app, actor="a test", now_ms=house.site.clock.now_ms(), delay=0)
    else:
        house.write(release_unchecked, app, house.site.clock.now_ms())
    house.catch_up()
    return OAuthClient(
        front=house.client(), issuer=at.issuer, client_id=app.consumer_key, redirect_uri=app.settings.callback_urls[0]
    )


def release_unchecked(app: registry.ExternalClientApp, now_ms: int) -> Any:
    """An app as it may stand in a database, whatever the forms say."""
    stored = yield from registry.create(app)
    yield from credentials.add(
        Credential(
            client_id=app.consumer_key, org_id=app.org_id, app_id=app.id, secret_digest="", made_by="", made_at=0
        )
    )
    yield from propagation.release_app(stored, now_ms=now_ms, delay=0)


def change_app(house: House, client: OAuthClient, **changes: Any) -> None:
    """An administrator saves the app with these Settings or Policies."""
    org = next(org for org in house.site.live.orgs() if org.issuer == client.issuer)
    live = house.run(house.site.live.client(org.id, client.client_id))
    app = house.read(registry.find, org.id, live.app_id)
    house.write(
        propagation.change_app,
        app,
        revision=app.revision,
        settings=changed(app.settings, changes),
        policies=changed(app.policies, changes),
        actor="robin@acme.example",
        now_ms=house.site.clock.now_ms(),
        delay=0,
    )
    house.catch_up()


def changed(struct: Any, changes: dict[str, Any]) -> Any:
    """The struct with those of the changes that are its own."""
    return msgspec.structs.replace(
        struct, **{name: changes[name] for name in struct.__struct_fields__ if name in changes}
    )


def add_user(house: House, *permission_sets: str, org: Org | None = None, name: str = "Kim Doe") -> Person:
    """A person with a user of their own."""
    at, username, password = org or house.org, f"kim{next(NUMBERS)}@acme.example", "correct horse battery"
    house.write(
        users.create,
        id=secrets.new_id(USER),
        org_id=at.id,
        username=username,
        name=name,
        email=username,
        password_hash=house.run(house.site.passwords.hash(password)),
        permission_sets=permission_sets or ("Administrator",),
        now=house.site.clock.now(),
    )
    return Person(house.client(), username, password)


def user_id(house: House, person: Person) -> str:
    """The id of a person's user."""
    found = house.read(users.find_credential, house.org.id, person.username)
    assert found is not None
    return found.user_id


def set_active(house: House, person: Person, *, is_active: bool) -> None:
    """An administrator activates or deactivates a user."""
    house.write(users.set_active, house.org.id, user_id(house, person), is_active=is_active)
    house.catch_up()


def person(house: House, n: int = 0) -> Person:
    """One of the development org's people with a fresh browser: 0 administrator, 1 standard, 2 without MCP servers."""
    user = house.told.users[n]
    return Person(house.client(), user["username"], user["password"])


def add_server(house: House, name: str, org: Org | None = None, *, is_active: bool = True) -> str:
    """An MCP server, registered and activated: its URL. Nothing answers behind it."""
    at = org or house.org
    made = mcp_servers.McpServer(
        id=secrets.new_id(MCP_SERVER), org_id=at.id, name=name, label=f"Server {name}", kind="records",
        variant="sobject-reads", source=f"sample:{house.config.data}/sample.db", is_active=False,
    )  # fmt: skip
    told = {"actor": "a test", "now_ms": house.site.clock.now_ms()}
    house.write(mcp_servers.register, made, **told)
    house.write(mcp_servers.set_active, at.id, name, is_active=is_active, **told)
    house.catch_up()
    return mcp_servers.resource(at, name)


def activate(house: House, name: str, *, is_active: bool, org: Org | None = None) -> None:
    """An administrator activates or deactivates a server; nodes learn of it when they read the feed."""
    at, now_ms = org or house.org, house.site.clock.now_ms()
    house.write(mcp_servers.set_active, at.id, name, is_active=is_active, actor="a test", now_ms=now_ms)


def add_org(house: House, name: str) -> Org:
    """Another org by path, with a server of its own; found when a test before made it."""
    found = house.site.live.org_at(name)
    if found is not None:
        return found
    made = house.run(seeding.make_org(house.site, name=name, label=name.title(), kind=orgs.SANDBOX))
    house.catch_up()
    found = house.site.live.org_at(name)
    assert found is not None and found.id == made.id
    add_server(house, "sobject-reads", found)
    return found


def signed_in(who: Person, client: OAuthClient) -> Person:
    """The person, signed in through the client's request and not one page further."""
    page = who.go(client.authorize_url())
    who.answer(page, username=who.username, password=who.password)
    return who


def is_signed_in(who: Person) -> bool:
    """Whether this browser still has a session."""
    return who.front.get("/setup").status_code == 200


def code_for(who: Person, client: OAuthClient, **changes: str | None) -> str:
    """The code of a person who allows what the client asks for."""
    back = who.allow(client.authorize_url(**changes))
    assert "code" in back, back
    return back["code"]


def connect(who: Person, client: OAuthClient, **changes: str | None) -> dict[str, Any]:
    """The tokens of a fresh connection."""
    answer = client.redeem(code_for(who, client, **changes))
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(answer: httpx2.Response, error: str, status: int = 400) -> str:
    """The description of a refusal in JSON with this code; every rule of RFC 6749 §5.2 on its form."""
    assert answer.status_code == status, (answer.status_code, answer.text)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert set(body) == {"error", "error_description"} and body["error"] == error, body
    assert is_description(body["error_description"]), body
    return body["error_description"]


def is_description(text: str) -> bool:
    """Whether these are the characters of an error_description (RFC 6749 §4.1.2.1)."""
    return bool(text) and all(c in (0x20, 0x21) or 0x23 <= c <= 0x5B or 0x5D <= c <= 0x7E for c in map(ord, text))


def claims_of(token: str) -> dict[str, Any]:
    """What a JWT says, unverified."""
    return json.loads(decoded(token.split(".")[1]))


def header_of(token: str) -> dict[str, Any]:
    """The JOSE header of a JWT."""
    return json.loads(decoded(token.split(".", maxsplit=1)[0]))


def decoded(segment: str) -> bytes:
    """Base64url without padding."""
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def opens(client: OAuthClient, token: str) -> bool:
    """Whether the MCP server lets this token in. Only the status is looked at: a GET is refused after the token is."""
    answer = client.front.get(f"{client.issuer}/mcp/sobject-reads", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code in (401, 405), answer.text
    return answer.status_code == 405


def app_id(house: House, client: OAuthClient) -> str:
    """The id of the app that this client is."""
    return house.run(house.site.live.client(house.org.id, client.client_id)).app_id
