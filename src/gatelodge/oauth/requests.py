"""An authorization request, parsed once, and the two ordered lists of checks that decide who is told of a refusal."""

from collections import Counter

import msgspec

from gatelodge.core import error_codes
from gatelodge.core import scopes as scope_words
from gatelodge.core.apps import callbacks
from gatelodge.core.orgs import Org
from gatelodge.core.propagation import LiveClient
from gatelodge.core.scopes import MCP_API, REFRESH_TOKEN
from gatelodge.live import LiveServer
from gatelodge.oauth import audience, pkce
from gatelodge.oauth.errors import OAuthError, ToldToTheUser
from gatelodge.words import reason

LONGEST_STATE = 2048
TOKEN = "token"


class AuthorizeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asks for at the authorization endpoint. ``repeated`` names the parameters that came twice.

    ``pushed`` is the digest of the reference under which the client pushed it ("" for a request that came by itself).
    """

    client_id: str = ""
    redirect_uri: str = ""
    response_type: str = ""
    response_mode: str = ""
    scope: str | None = None
    state: str | None = None
    code_challenge: str = ""
    code_challenge_method: str = ""
    resource: str | None = None
    prompt: tuple[str, ...] = ()
    max_age: int | None = None
    max_age_is_bad: bool = False
    login_hint: str = ""
    nonce: str = ""
    dpop_jkt: str = ""
    has_request_object: bool = False
    request_uri: str = ""
    pushed: str = ""
    repeated: tuple[str, ...] = ()


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a request that waits. ``session`` is the digest of the session that its browser had when it came
    ("" for none), so that ``prompt=login`` knows a sign-in of its own.
    """

    request: AuthorizeRequest
    session: str


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request whose client is known and whose way back is registered, with what its client may be given."""

    request: AuthorizeRequest
    client: LiveClient
    redirect_uri: str
    scopes: tuple[str, ...]
    adds_refresh: bool
    org: Org
    servers: dict[str, LiveServer]

    @property
    def returns_token(self) -> bool:
        """Whether this is the legacy user-agent flow, and the app may use it (decision 0007). The protocol asks again
        what the form asked: no token for MCP servers travels in a URL.
        """
        return (
            self.request.response_type == TOKEN
            and self.client.settings.access_token_parameter
            and MCP_API not in self.client.scopes
        )

    @property
    def resource(self) -> str:
        """The audience of the tokens. Raises ``OAuthError`` (invalid_target)."""
        return audience.decide(
            self.request.resource, org=self.org, client=self.client, scopes=self.scopes, active=self.servers
        )


def parse(fields: list[tuple[str, str]]) -> AuthorizeRequest:
    """The request that these parameters make. Unknown ones are ignored (RFC 6749 §3.1), empty ones are absent."""
    sent = {name: value for name, value in reversed(fields) if value}
    twice = tuple(name for name, count in Counter(name for name, value in fields if value).items() if count > 1)
    max_age = sent.get("max_age", "")
    return AuthorizeRequest(
        client_id=sent.get("client_id", ""),
        redirect_uri=sent.get("redirect_uri", ""),
        response_type=sent.get("response_type", ""),
        response_mode=sent.get("response_mode", ""),
        scope=sent.get("scope"),
        state=sent.get("state"),
        code_challenge=sent.get("code_challenge", ""),
        code_challenge_method=sent.get("code_challenge_method", ""),
        resource=sent.get("resource"),
        prompt=tuple(sent.get("prompt", "").split()),
        max_age=int(max_age) if max_age.isascii() and max_age.isdigit() and len(max_age) < 10 else None,  # noqa: PLR2004
        max_age_is_bad=bool(max_age) and not (max_age.isascii() and max_age.isdigit() and len(max_age) < 10),  # noqa: PLR2004
        login_hint=sent.get("login_hint", ""),
        nonce=sent.get("nonce", ""),
        dpop_jkt=sent.get("dpop_jkt", ""),
        has_request_object="request" in sent or "request_uri" in sent,
        request_uri=sent.get("request_uri", ""),
        repeated=twice,
    )


def way_back(request: AuthorizeRequest, client: LiveClient) -> str:
    """The redirect URI of this request: the one it names, or the only one registered (RFC 6749 §3.1.2.3). "": none."""
    return request.redirect_uri or (client.redirect_uris[0] if len(client.redirect_uris) == 1 else "")


def granted_scopes(request: AuthorizeRequest, client: LiveClient) -> tuple[tuple[str, ...], bool]:
    """What may be granted, and whether ``refresh_token`` was added to it.

    Scopes that the app lacks are dropped. None sent: all the app's. An app with ``refresh_token`` always gets a refresh
    token, since clients that follow the challenge ask only for ``mcp_api``; the user-agent flow never gives one (RFC
    6749 §4.2.2).
    """
    asked = client.scopes if request.scope is None else scope_words.parse(request.scope)
    granted = tuple(scope for scope in asked if scope in client.scopes)
    if request.response_type == TOKEN:
        return tuple(scope for scope in granted if scope != REFRESH_TOKEN), False
    if request.scope is None:
        return granted, False
    if not granted or REFRESH_TOKEN not in client.scopes or REFRESH_TOKEN in granted:
        return granted, False
    return (*granted, REFRESH_TOKEN), True


# --- told to the user: nothing is sent to a place that is not registered (RFC 6749 §4.1.2.1) --------------------------


class Registered(msgspec.Struct, frozen=True):
    """What the org knows of a client_id: the live client; else the seconds until it is live (0: none is on its way), and
    the name of the Connected App that has this key ("" for none).
    """

    client: LiveClient | None
    waits: int = 0
    connected_app: str = ""


def client_and_way_back_come_once(request: AuthorizeRequest, known: Registered) -> None:
    """Two values of one parameter could be read differently by two programs (RFC 6749 §3.1)."""
    for name in ("client_id", "redirect_uri"):
        if name in request.repeated:
            raise ToldToTheUser(
                "invalid_request",
                reason("The request is ambiguous"),
                number=error_codes.AMBIGUOUS,
                what=reason("The client sent the parameter {name} more than once.", name=name),
                fix=reason("Report this to the maker of the client: RFC 6749 §3.1 forbids it."),
            )


def client_is_live(request: AuthorizeRequest, known: Registered) -> None:
    """The client must be an External Client App of this org that is released and enabled."""
    if not request.client_id:
        raise ToldToTheUser(
            "invalid_client_id",
            reason("The client didn't say who it is"),
            number=error_codes.NO_CLIENT,
            what=reason("The request has no client_id."),
            fix=reason("Paste the app's Consumer Key into the client as its client id."),
        )
    if known.client is None:
        raise _unknown(request.client_id, known)


def _unknown(client_id: str, known: Registered) -> ToldToTheUser:
    """Why no live app has this consumer key."""
    if known.connected_app:
        return ToldToTheUser(
            "invalid_client_id",
            reason("This is a Connected App"),
            number=error_codes.CONNECTED_APP,
            what=reason(
                "client identifier invalid: the consumer key belongs to {connected_app}, a Connected App, and"
                " these can't be used here.",
                connected_app=known.connected_app,
            ),
            asked=client_id,
            fix=reason(
                "An administrator makes an External Client App in Setup, and its Consumer Key goes into the"
                " client in place of this one."
            ),
        )
    if waits := known.waits:
        return ToldToTheUser(
            "invalid_client_id",
            reason("This app isn't live yet"),
            number=error_codes.NOT_LIVE,
            what=reason("The app with this consumer key was just created; it is live in {waits} seconds.", waits=waits),
            asked=client_id,
            fix=reason("Wait for it, then connect again. The app's page in Setup shows when it is live."),
        )
    return ToldToTheUser(
        "invalid_client_id",
        reason("No app has this consumer key"),
        number=error_codes.UNKNOWN_CLIENT,
        what=reason("client identifier invalid: this org has no External Client App with the client_id that was sent."),
        asked=client_id,
        fix=reason(
            "Copy the Consumer Key from the app's page in Setup into the client, whole, and check that the"
            " app belongs to this org."
        ),
    )


def redirect_uri_is_registered(request: AuthorizeRequest, known: Registered) -> None:
    """Exact characters, but for the port of a loopback address (RFC 9700 §4.1.3, RFC 8252 §7.3)."""
    client = known.client
    assert client is not None  # client_is_live came before
    registered = client.redirect_uris
    asked = way_back(request, client)
    if not asked:
        raise ToldToTheUser(
            "redirect_uri_missing",
            reason("The client didn't say where to return to"),
            number=error_codes.NO_CALLBACK,
            what=reason(
                "redirect_uri not provided: {name} has {n} callback URLs, so one must be named.",
                name=client.name,
                n=len(registered),
            ),
            allowed=registered,
            fix=reason("Have the client send redirect_uri with a Callback URL of the app."),
            app_id=client.app_id,
        )
    if any(callbacks.matches(url, asked) for url in registered):
        return
    near = callbacks.near_miss(registered, asked)
    raise ToldToTheUser(
        "redirect_uri_mismatch",
        reason("The callback URL doesn't match"),
        number=error_codes.CALLBACK,
        what=reason(
            "redirect_uri must match configuration: {name} may not return to the URL that the client sent.",
            name=client.name,
        ),
        asked=asked,
        allowed=(near[0], *(url for url in registered if url != near[0])) if near else registered,
        difference=near[1] if near else callbacks.problem(asked) if asked in registered else "",
        fix=reason(
            "If you trust this URL, an administrator adds it to the app's Callback URL in Setup; it works at once."
        ),
        app_id=client.app_id,
    )


TOLD_TO_THE_USER = (client_and_way_back_come_once, client_is_live, redirect_uri_is_registered)


# --- told to the client, through the registered redirect ---------------------------------------------------------------


def parameters_come_once(asked: Asked) -> None:
    """RFC 6749 §3.1. A second ``resource`` is a second audience, and ours are always one."""
    repeated = asked.request.repeated
    if "resource" in repeated:
        raise OAuthError("invalid_target", "send one resource: a token here opens one MCP server")
    if repeated:
        raise OAuthError("invalid_request", f"sent more than once: {', '.join(sorted(repeated)):.200}")


def client_is_enabled(asked: Asked) -> None:
    """An administrator may turn an app off (Policies), or its OAuth (Settings)."""
    if not asked.client.is_enabled:
        raise OAuthError("unauthorized_client", "app_blocked: an administrator has disabled this app")


def response_type_is_supported(asked: Asked) -> None:
    """RFC 9700 §2.1.2: no tokens in the front channel, but for old apps that have the option for it."""
    if asked.returns_token:
        return
    if not asked.request.response_type:
        raise OAuthError("invalid_request", "response_type is missing; send response_type=code")
    if asked.request.response_type != "code":
        raise OAuthError("unsupported_response_type", "response type not supported; send response_type=code")


def response_mode_is_supported(asked: Asked) -> None:
    """The query for a code, the only mode our metadata lists; the fragment for a token."""
    mode = "fragment" if asked.returns_token else "query"
    if asked.request.response_mode not in ("", mode):
        raise OAuthError("invalid_request", f"response_mode must be {mode}")


def request_objects_are_not_used(asked: Asked) -> None:
    """OpenID Core §6: a server without request objects says so."""
    if asked.request.has_request_object:
        raise OAuthError("request_not_supported", "send the parameters themselves: request objects are not supported")


def pkce_is_used_when_required(asked: Asked) -> None:
    """RFC 7636 §4.4.1; plain is never accepted (RFC 9700 §2.1.1)."""
    request, settings = asked.request, asked.client.settings
    if asked.returns_token:
        return  # there is no code to protect
    if not request.code_challenge and not request.code_challenge_method:
        # Asked again here: without a secret nothing else protects the code (RFC 9700 §2.1.1).
        if settings.require_pkce or not settings.require_secret_for_web_server_flow:
            raise OAuthError(
                "invalid_request", "this app requires PKCE: send code_challenge and code_challenge_method=S256"
            )
        return
    if request.code_challenge_method != "S256":
        raise OAuthError(
            "invalid_request", "code_challenge_method must be S256; left out it means plain (RFC 7636 4.3)"
        )
    if not pkce.is_challenge(request.code_challenge):
        raise OAuthError("invalid_request", "code_challenge must be the 43 base64url characters of a SHA-256")


def prompt_makes_sense(asked: Asked) -> None:
    """OpenID Core §3.1.2.1: none stands alone."""
    prompt = asked.request.prompt
    if "none" in prompt and len(prompt) > 1:
        raise OAuthError("invalid_request", "prompt=none can't be combined with another value")
    if asked.request.max_age_is_bad:
        raise OAuthError("invalid_request", "max_age must be a number of seconds")


def state_is_bounded(asked: Asked) -> None:
    """It comes back in a Location header, and a nonce in the ID token."""
    for name, value in (("state", asked.request.state or ""), ("nonce", asked.request.nonce)):
        if len(value) > LONGEST_STATE:
            raise OAuthError("invalid_request", f"{name} has more than {LONGEST_STATE} characters")


def dpop_jkt_is_a_thumbprint(asked: Asked) -> None:
    """RFC 9449 §10: the base64url of a SHA-256, as a code_challenge is."""
    if asked.request.dpop_jkt and asked.returns_token:
        raise OAuthError("invalid_request", "dpop_jkt binds a code, and response_type=token gives none")
    if asked.request.dpop_jkt and not pkce.is_challenge(asked.request.dpop_jkt):
        raise OAuthError("invalid_request", "dpop_jkt must be the 43 base64url characters of a JWK thumbprint")


def scopes_are_allowed(asked: Asked) -> None:
    """Nothing left of what was asked for is a refusal (RFC 6749 §3.3); something left is told in ``scope``."""
    if not asked.scopes:
        raise OAuthError(
            "invalid_scope",
            f"the app has none of the scopes asked for ({asked.request.scope or 'none':.200});"
            f" it has: {scope_words.to_wire(asked.client.scopes) or 'none'}",
        )


def resource_is_known(asked: Asked) -> None:
    """RFC 8707 §2."""
    if not asked.resource:
        raise AssertionError("an audience is never empty")


TOLD_TO_THE_CLIENT = (
    state_is_bounded,
    parameters_come_once,
    client_is_enabled,
    response_type_is_supported,
    response_mode_is_supported,
    request_objects_are_not_used,
    pkce_is_used_when_required,
    dpop_jkt_is_a_thumbprint,
    prompt_makes_sense,
    scopes_are_allowed,
    resource_is_known,
)
