"""OAuth scopes: the words of the form, the words on the wire, and what a person is told they mean."""

import re

import msgspec

from gatelodge.core.errors import Refused
from gatelodge.words import _

MCP_API = "mcp_api"
REFRESH_TOKEN = "refresh_token"
OPENID = "openid"
PROFILE = "profile"
EMAIL = "email"
ID = "id"
OFFLINE_ACCESS = "offline_access"  # another word for refresh_token, listed in AS metadata only (MCP: Refresh Tokens)


class Scope(msgspec.Struct, frozen=True):
    """One scope: its value on the wire, Setup's label, the sentence on the consent page, and the narrower scopes that it
    includes.
    """

    name: str
    label: str
    meaning: str
    includes: tuple[str, ...] = ()


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


Custom = tuple[Scope, ...]
"""An org's own scopes."""
MOST_CUSTOM = 50
NAME_SHAPE = re.compile(r"[a-z][a-z0-9_.:-]{0,59}")
LONGEST_LABEL = 80
LONGEST_MEANING = 200


def known(custom: Custom) -> dict[str, Scope]:
    """Every scope of an org by name."""
    return BY_NAME | {scope.name: scope for scope in custom}


def described(name: str, custom: Custom) -> Scope:
    """A scope as people are told of it. One that was removed meanwhile stands under its name, and opens nothing."""
    return known(custom).get(name) or Scope(name, name, name)


def with_included(scopes: tuple[str, ...], custom: Custom) -> tuple[str, ...]:
    """These scopes and all that they include, however far down (MCP: a broader scope satisfies a narrower demand)."""
    by_name, found = {scope.name: scope for scope in custom}, list(dict.fromkeys(scopes))
    for name in found:  # grows while it is walked
        found.extend(each for each in (by_name[name].includes if name in by_name else ()) if each not in found)
    return tuple(found)


def check_custom(custom: Custom) -> None:
    """Raises ``Refused`` for the first scope that breaks a rule."""
    names = [scope.name for scope in custom]
    if len(custom) > MOST_CUSTOM:
        raise Refused(
            _("There are {n} scopes; at most {most_custom} are allowed.").format(
                n=len(custom), most_custom=MOST_CUSTOM
            ),
            "name",
        )
    for scope in custom:
        if not NAME_SHAPE.fullmatch(scope.name) or scope.name in (*BY_NAME, OFFLINE_ACCESS):
            raise Refused(
                _(
                    "{name!r:.80} can't be a scope of your own: use a-z, 0-9 and _ . : -, beginning with a"
                    " letter, and no name of a scope that every org has."
                ).format(name=scope.name),
                "name",
            )
        if names.count(scope.name) > 1:
            raise Refused(_("This org has a scope {name} already.").format(name=scope.name), "name")
        for field, longest in (("label", LONGEST_LABEL), ("meaning", LONGEST_MEANING)):
            said: str = getattr(scope, field)
            if not 1 <= len(said) <= longest or not said.isprintable():
                raise Refused(
                    _("Enter 1 to {longest} characters of plain text; these are {n}.").format(
                        longest=longest, n=len(said)
                    ),
                    field,
                )
        unknown = [each for each in scope.includes if each not in names or each == scope.name]
        if unknown:
            raise Refused(
                _("{unknown!r:.200} is no other scope of this org's own.").format(unknown=", ".join(unknown)),
                "includes",
            )
