"""What an upstream MCP server is given in the place of the client's token, which it never sees: nothing, a fixed header, a
token for this org, one exchanged for this user, or the user's own; and, where it is wanted, who is calling.
"""

from collections.abc import Awaitable, Callable

import msgspec

from gatelodge.core import secrets, tokens, upstream_secrets
from gatelodge.core.mcp_servers import McpServer, canonical
from gatelodge.core.orgs import Org
from gatelodge.core.secrets import KeyMissing
from gatelodge.core.server_terms import USER_BOUND
from gatelodge.core.users import User
from gatelodge.gateway import user_grants
from gatelodge.gateway.caller import Caller
from gatelodge.web.routes import Route
from gatelodge.web.site import Site
from gatelodge.web.token_cache import Fetched
from gatelodge.web.upstream_oauth import clients
from gatelodge.web.upstream_oauth.tokens import Answered, NotGiven, ask, ends_at
from gatelodge.words import Because, reason

IDENTITY = "Gatelodge-Identity"
"""The header that says who is calling: a JWT that the org signs."""
IDENTITY_TYPE = "identity+jwt"
SUBJECT_TYPE = "subject+jwt"
"""Types of their own (RFC 8725 §3.11): neither is an access token or an ID token anywhere."""
LIFETIME = 60
"""Seconds that what the org says of a user is good for."""
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT = "urn:ietf:params:oauth:token-type:jwt"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"

ROUTES = (Route(path="/oauth/client-metadata/{server}", methods=("GET",), answer=clients.metadata, any_origin=True),)


class NoCredential(Because):
    """There is nothing to send to the upstream now."""


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What the org says of a user to one upstream, or to the issuer of its tokens (RFC 7519 §4.1)."""

    iss: str
    sub: str
    aud: str
    iat: int
    exp: int
    jti: str
    client_id: str
    preferred_username: str
    name: str


class NeedsReader(Because):
    """A user's own credential is needed, and nobody in particular is looking."""


class Reader(msgspec.Struct, frozen=True, kw_only=True):
    """A user who reads what an upstream offers, through no app; all "" for nobody in particular."""

    user_id: str = ""
    username: str = ""
    user_label: str = ""
    client_id: str = ""


async def headers_to_read(
    site: Site, org: Org, server: McpServer, reader: User | None, *, refused: dict[str, str] | None = None
) -> dict[str, str]:
    """The headers with which what the upstream offers is read, by this user or by nobody in particular.

    Raises as ``headers_for``, and ``NeedsReader``.
    """
    if reader is None and server.terms.credential in USER_BOUND:
        raise NeedsReader(
            reason(
                "what {name} offers is read with a user's own credential: open it in Setup and look again",
                name=server.name,
            )
        )
    who = Reader(user_id=reader.id, username=reader.username, user_label=reader.name) if reader else Reader()
    terms = server.terms if reader else msgspec.structs.replace(server.terms, sends_identity=False)
    return await headers_for(site, org, msgspec.structs.replace(server, terms=terms), who, refused=refused)


async def headers_for(
    site: Site, org: Org, server: McpServer, caller: Caller | Reader, *, refused: dict[str, str] | None = None
) -> dict[str, str]:
    """The headers for one call. ``refused`` are those of an earlier try that the upstream answered with 401: what was
    fetched is fetched anew, once for all who come with the same. The same headers again: there is no other try.

    Raises ``NeedsGrant`` where the user must agree first, and ``NoCredential``.
    """
    terms = server.terms
    name = terms.header_name if terms.credential == "header" else "Authorization"
    before = (refused or {}).get(name, "")
    try:
        value = await CREDENTIALS[terms.credential](site, org, server, caller, before)
    except KeyMissing as error:
        raise NoCredential(
            reason("what {name} is given can't be read: {error}", name=server.name, error=error)
        ) from None
    except NotGiven as error:
        raise NoCredential(reason("no token for {name}: {why}", name=server.name, why=error.reason)) from None
    headers = {name: value} if value else {}
    if terms.sends_identity:
        headers[IDENTITY] = await _said(site, org, caller, canonical(server.source), IDENTITY_TYPE)
    return headers


async def _nothing(site: Site, org: Org, server: McpServer, caller: Caller | Reader, refused: str) -> str:
    return ""


async def _header(site: Site, org: Org, server: McpServer, caller: Caller | Reader, refused: str) -> str:
    value = await _secret(site, server, upstream_secrets.HEADER)
    if not value:
        why = reason(
            "{name} is to be sent {header}, and nobody has entered its value",
            name=server.name,
            header=server.terms.header_name,
        )
        raise NoCredential(why)
    return value


async def _client_credentials(site: Site, org: Org, server: McpServer, caller: Caller | Reader, refused: str) -> str:
    """A token for this org (RFC 6749 §4.4), the same for all its users."""
    asked = {"grant_type": "client_credentials"} | _wanted(server)
    return await _fetched(site, server, "", lambda: _ask(site, server, asked), refused)


async def _token_exchange(site: Site, org: Org, server: McpServer, caller: Caller | Reader, refused: str) -> str:
    """A token for this user (RFC 8693), for what the org says of them to the issuer."""

    async def exchange() -> Answered:
        subject = await _said(site, org, caller, server.terms.token_url, SUBJECT_TYPE)
        asked = {
            "grant_type": TOKEN_EXCHANGE,
            "subject_token": subject,
            "subject_token_type": JWT,
            "requested_token_type": ACCESS_TOKEN,
        }
        return await _ask(site, server, asked | _wanted(server))

    return await _fetched(site, server, caller.user_id, exchange, refused)


async def _user_grant(site: Site, org: Org, server: McpServer, caller: Caller | Reader, refused: str) -> str:
    async def fetch() -> Fetched:
        return await user_grants.token(site, org, server, caller.user_id, refused=refused)

    return await site.upstream_tokens.get(
        ("grant", org.id, server.id, server.source, caller.user_id),
        fetch,
        now=site.clock.now(),
        applied=site.live.applied,
        refused=refused,
    )


Credential = Callable[[Site, Org, McpServer, Caller | Reader, str], Awaitable[str]]
CREDENTIALS: dict[str, Credential] = {
    "none": _nothing,
    "header": _header,
    "client_credentials": _client_credentials,
    "token_exchange": _token_exchange,
    "user_grant": _user_grant,
}
"""One row for each credential of ``Terms``."""


def _wanted(server: McpServer) -> dict[str, str]:
    """What a token is asked for: always a resource (RFC 8707 §2; MCP: Resource Parameter)."""
    terms = server.terms
    asked = {"resource": canonical(server.source)}
    asked |= {"audience": terms.audience} if terms.audience else {}
    return asked | ({"scope": terms.scope} if terms.scope else {})


async def _fetched(
    site: Site, server: McpServer, user_id: str, fetch: Callable[[], Awaitable[Answered]], refused: str
) -> str:
    """A token that is kept until near its end. Its key holds all that it depends on, the secret too."""
    terms = server.terms
    secret = await _secret(site, server, upstream_secrets.CLIENT_SECRET)
    wanted = msgspec.json.encode((server.source, terms.token_url, terms.client_id, terms.scope, terms.audience))

    async def fetch_it() -> Fetched:
        answered = await fetch()
        return Fetched(f"Bearer {answered.access_token}", ends_at(answered, site.clock.now()))

    return await site.upstream_tokens.get(
        (terms.credential, server.org_id, server.id, user_id, wanted.decode(), secrets.digest(secret)),
        fetch_it,
        now=site.clock.now(),
        applied=site.live.applied,
        survives_changes=True,
        refused=refused,
    )


async def _ask(site: Site, server: McpServer, asked: dict[str, str]) -> Answered:
    return await ask(site, server, server.terms.token_url, await clients.pre_registered(site, server), asked)


async def _secret(site: Site, server: McpServer, kind: str) -> str:
    """A secret as this node last read it: anew after each change that it applies."""

    async def fetch() -> Fetched:
        kept = await site.store.read(upstream_secrets.find, server.org_id, server.id, kind)
        return Fetched(upstream_secrets.opened(site.ring, kept) if kept else "")

    return await site.upstream_tokens.get(
        ("secret", server.org_id, server.id, kind), fetch, now=site.clock.now(), applied=site.live.applied
    )


async def _said(site: Site, org: Org, caller: Caller | Reader, audience: str, kind: str) -> str:
    now, signer = site.clock.now(), (await site.live.keys(org.id)).signer
    said = Said(
        iss=org.issuer,
        sub=caller.user_id,
        aud=audience,
        iat=now,
        exp=now + LIFETIME,
        jti=secrets.new_token()[:22],
        client_id=caller.client_id,
        preferred_username=caller.username,
        name=caller.user_label,
    )
    return tokens.sign(signer.key, signer.algorithm, signer.kid, said, type=kind)
