"""OAuth scopes: the words of the form, the words on the wire, and what a person is told they mean."""

import msgspec

MCP_API = "mcp_api"
REFRESH_TOKEN = "refresh_token"
OPENID = "openid"
PROFILE = "profile"
EMAIL = "email"
ID = "id"
OFFLINE_ACCESS = "offline_access"  # another word for refresh_token, listed in AS metadata only (MCP: Refresh Tokens)


class Scope(msgspec.Struct, frozen=True):
    """One scope: its value on the wire, Setup's label, and the sentence on the consent page."""

    name: str
    label: str
    meaning: str


SCOPES = (
    Scope(MCP_API, "Access MCP servers", "Use your organisation's MCP servers as you, with what you may see there"),
    Scope(REFRESH_TOKEN, "Perform requests at any time", "Stay connected without asking you to sign in each time"),
    Scope(OPENID, "Access unique user identifiers", "Know who you are here: your user id"),
    Scope(PROFILE, "Access the identity URL service (profile)", "See your name, username and time zone"),
    Scope(EMAIL, "Access the identity URL service (email)", "See your e-mail address"),
    Scope(ID, "Access the identity URL service (id)", "See your identity: name, e-mail address and organisation"),
)
BY_NAME = {scope.name: scope for scope in SCOPES}


def parse(value: str) -> tuple[str, ...]:
    """The scopes of a space-separated list (RFC 6749 §3.3), each once, in order, under their first name."""
    words = (REFRESH_TOKEN if word == OFFLINE_ACCESS else word for word in value.split(" ") if word)
    return tuple(dict.fromkeys(words))


def to_wire(scopes: tuple[str, ...]) -> str:
    """The ``scope`` parameter of an answer."""
    return " ".join(scopes)
