"""Where an upstream MCP server's tokens come from: its protected resource metadata (RFC 9728), and that of its
authorization server (RFC 8414), in the order that MCP asks for. What an administrator entered by hand goes before both.
"""

import re
from typing import Any
from urllib.parse import urlsplit

import msgspec

from gatelodge.core.mcp_servers import McpServer, canonical
from gatelodge.web.outbound import Fetched, NotFetched
from gatelodge.web.site import Site
from gatelodge.words import Because, reason

OK = 200
UNAUTHORIZED = 401
MOST_SCOPES = 100
SCOPE = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]{1,200}")
"""A scope token (RFC 6749 §3.3)."""
PARAMETER = re.compile(r'\b(resource_metadata|scope)\s*=\s*"([^"\\]{1,2000})"', re.IGNORECASE)
OFFLINE_ACCESS = "offline_access"


class NotConnected(Because):
    """The upstream gives us no token."""


class Issuer(msgspec.Struct, frozen=True, kw_only=True):
    """Where tokens for one upstream come from, as it was found out. ``issuer`` is "" where an administrator entered the
    URLs. ``resource`` is what tokens are asked for; ``scope`` is what of it, "" for whatever the issuer gives.
    """

    issuer: str
    authorize_url: str
    token_url: str
    resource: str
    scope: str
    names_itself: bool = False
    auth_methods: tuple[str, ...] = ()
    registration_url: str = ""
    revocation_url: str = ""
    takes_documents: bool = False


class ResourceMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """What we read of RFC 9728 §2."""

    resource: str
    authorization_servers: tuple[str, ...]
    scopes_supported: tuple[str, ...] = ()


class ServerMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """What we read of RFC 8414 §2."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    code_challenge_methods_supported: tuple[str, ...] = ()
    authorization_response_iss_parameter_supported: bool = False
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    registration_endpoint: str = ""
    revocation_endpoint: str = ""
    client_id_metadata_document_supported: bool = False
    scopes_supported: tuple[str, ...] = ()


async def issuer_of(site: Site, server: McpServer) -> Issuer:
    """Where a user's tokens for this server come from. Raises ``NotConnected``."""
    terms = server.terms
    if terms.authorize_url and terms.token_url:
        return Issuer(
            issuer="",
            authorize_url=terms.authorize_url,
            token_url=terms.token_url,
            resource=terms.audience or canonical(server.source),
            scope=terms.scope,
        )
    protected, challenged = await _protected(site, server)
    found = await _authorization_server(site, server, protected.authorization_servers[0])
    return Issuer(
        issuer=found.issuer,
        authorize_url=found.authorization_endpoint,
        token_url=found.token_endpoint,
        resource=protected.resource,
        scope=_scope(server, challenged, protected, found),
        names_itself=found.authorization_response_iss_parameter_supported,
        auth_methods=found.token_endpoint_auth_methods_supported,
        registration_url=found.registration_endpoint,
        revocation_url=found.revocation_endpoint,
        takes_documents=found.client_id_metadata_document_supported,
    )


def _scope(server: McpServer, challenged: str, protected: ResourceMetadata, found: ServerMetadata) -> str:
    """What is asked for (MCP: Scope Selection): what the administrator says, else the challenge's, else all that the
    resource knows; and to stay connected, where the issuer lists a word for it.
    """
    words = (server.terms.scope or challenged).split(" ") if server.terms.scope or challenged else []
    words = words or list(protected.scopes_supported)
    if OFFLINE_ACCESS in found.scopes_supported and words:
        words.append(OFFLINE_ACCESS)
    return " ".join(dict.fromkeys(word for word in words[:MOST_SCOPES] if SCOPE.fullmatch(word)))


async def _protected(site: Site, server: McpServer) -> tuple[ResourceMetadata, str]:
    """The server's own metadata, from where its challenge says, else by its path, else at the root; and the scope that
    the challenge names.
    """
    challenge = await _challenge(site, server)
    parts = urlsplit(server.source)
    root = f"{parts.scheme}://{parts.netloc}/.well-known/oauth-protected-resource"
    path = parts.path.rstrip("/")
    for url in dict.fromkeys((challenge.get("resource_metadata", ""), f"{root}{path}", root)):
        fetched = await _fetched(site, server, url) if url else None
        if fetched is None or fetched.status != OK:
            continue
        found = _read(fetched, ResourceMetadata, url)
        if not is_resource_of(found.resource, server.source):
            # RFC 9728 §3.3: a document about something else would have us send a token there.
            why = reason(
                "{url} is about {resource!r}, not about {server}",
                url=url, resource=found.resource, server=server.source,
            )  # fmt: skip
            raise NotConnected(why)
        if not found.authorization_servers:
            raise NotConnected(reason("{url} names no authorization server", url=url))
        return found, challenge.get("scope", "")
    raise NotConnected(
        reason(
            "{server} publishes no protected resource metadata (RFC 9728); an administrator can enter the authorize and"
            " token URLs of its authorization server",
            server=server.source,
        )
    )


async def _challenge(site: Site, server: McpServer) -> dict[str, str]:
    """What the server says when it is asked without a token (RFC 9728 §5.1), by lower-case name."""
    fetched = await _fetched(site, server, server.source)
    if fetched is None or fetched.status != UNAUTHORIZED:
        return {}
    found = PARAMETER.findall(fetched.headers.get("www-authenticate", ""))
    return {name.lower(): value for name, value in found}


def is_resource_of(resource: str, url: str) -> bool:
    """Whether a resource is this server, or what its URL lies beneath (MCP: Canonical Server URI)."""
    ours, theirs = canonical(url), canonical(resource)
    return ours == theirs or ours.startswith(f"{theirs}/")


async def _authorization_server(site: Site, server: McpServer, issuer: str) -> ServerMetadata:
    """The metadata of an authorization server (RFC 8414 §3, OpenID Connect Discovery §4): at the first of the places that
    answers, which must name the issuer byte for byte.
    """
    parts = urlsplit(issuer)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    places = [f"{origin}/.well-known/{name}{path}" for name in ("oauth-authorization-server", "openid-configuration")]
    if path:
        places.append(f"{origin}{path}/.well-known/openid-configuration")
    for url in places:
        fetched = await _fetched(site, server, url)
        if fetched is None or fetched.status != OK:
            continue
        found = _read(fetched, ServerMetadata, url)
        if found.issuer != issuer:
            why = reason("{url} names the issuer {named!r}, not {issuer!r}", url=url, named=found.issuer, issuer=issuer)
            raise NotConnected(why)
        if "S256" not in found.code_challenge_methods_supported:
            raise NotConnected(
                reason(
                    "{issuer} doesn't say that it supports PKCE with S256, without which we don't go on", issuer=issuer
                )
            )
        _check_endpoints(found, allows_private=server.terms.allows_private)
        return found
    raise NotConnected(reason("{issuer} publishes no authorization server metadata (RFC 8414)", issuer=issuer))


def _check_endpoints(found: ServerMetadata, *, allows_private: bool) -> None:
    """A browser is sent to the authorization endpoint: to nothing but a web page (CVE-2025-6514)."""
    for name in ("authorization_endpoint", "token_endpoint", "registration_endpoint", "revocation_endpoint"):
        url = getattr(found, name)
        if url and not is_web(url, allows_private=allows_private):
            why = reason("the {name} of {issuer} is no https URL: {url!r}", name=name, issuer=found.issuer, url=url)
            raise NotConnected(why)


def is_web(url: str, *, allows_private: bool) -> bool:
    """Whether a URL can be opened as a web page: https, or http in a private network where that is allowed."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    is_plain = url.isascii() and url.isprintable() and not re.search(r'[\s\\"<>]', url)
    schemes = ("https", "http") if allows_private else ("https",)
    return is_plain and parts.scheme in schemes and bool(parts.hostname) and "@" not in parts.netloc


async def _fetched(site: Site, server: McpServer, url: str) -> Fetched | None:
    """An answer, or None where there is none: other places may have what is looked for."""
    try:
        return await site.outbound.fetch(url, allows_private=server.terms.allows_private)
    except NotFetched:
        return None


def _read(fetched: Fetched, kind: Any, url: str) -> Any:
    try:
        return msgspec.json.decode(fetched.body, type=kind, strict=True)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise NotConnected(reason("{url} can't be read: {error}", url=url, error=error)) from None
