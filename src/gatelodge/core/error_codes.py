"""The codes of what people are refused on a page: stable, each with a page of its own at ``/errors/<code>``.

A refusal's own page says what happened with its values; what stands here is true of every such refusal. ``plain`` is
for whoever meets it, ``means`` and ``fix`` are for the administrator.
"""

import msgspec

from gatelodge.words import mark

EXPIRED = "GL-1001"
PROVIDER = "GL-1002"
FOREIGN_FORM = "GL-1003"
NO_CLIENT = "GL-2001"
UNKNOWN_CLIENT = "GL-2002"
NOT_LIVE = "GL-2003"
CONNECTED_APP = "GL-2004"
AMBIGUOUS = "GL-2005"
SIGN_OUT = "GL-2006"
NO_CALLBACK = "GL-3011"
CALLBACK = "GL-3012"
LOGOUT_URL = "GL-3013"
NOT_APPROVED = "GL-4001"
ADDRESS = "GL-4002"
LEVEL = "GL-4003"
NO_MCP = "GL-4004"
NO_PERMISSION = "GL-4010"
UNREADABLE = "GL-5000"
NOT_FOUND = "GL-5004"
TOO_LARGE = "GL-5013"
TOO_MANY = "GL-5029"


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """One code and its words."""

    title: str
    plain: str
    means: str
    fix: str


CODES: dict[str, Code] = {
    EXPIRED: Code(
        title=mark("This sign-in is over"),
        plain=mark(
            "The request that brought you here was answered or is too old. Go back to the app and connect again."
        ),
        means=mark("A request waits ten minutes for its user, in the browser that began it, and is answered once."),
        fix=mark(
            "Connect again in the client. Where it happens each time, look whether the client opens two browsers."
        ),
    ),
    PROVIDER: Code(
        title=mark("Nobody was signed in"),
        plain=mark("The other service didn't confirm who you are. Try again, or sign in another way."),
        means=mark(
            "The OpenID provider's answer was missing, too old, made for another browser, or about nobody here."
        ),
        fix=mark(
            "The page names the cause. Compare the provider's client, issuer and callback with those of this org."
        ),
    ),
    FOREIGN_FORM: Code(
        title=mark("This form isn't from this browser"),
        plain=mark("Open the page again and send the form from there. Nothing was changed."),
        means=mark(
            "A form carries a token bound to the browser, the sign-in and the org. This one had none, or another's."
        ),
        fix=mark(
            "Reload the page. Behind a proxy, see that it passes on the Origin header and the host of the public URL."
        ),
    ),
    NO_CLIENT: Code(
        title=mark("The client didn't say who it is"),
        plain=mark(
            "The app is not set up right: it sent no client id. Send the reference below to your administrator."
        ),
        means=mark("The authorization request has no client_id."),
        fix=mark("Paste the app's Consumer Key into the client as its client id."),
    ),
    UNKNOWN_CLIENT: Code(
        title=mark("No app has this consumer key"),
        plain=mark("The app is not set up right for this org. Send the reference below to your administrator."),
        means=mark("This org has no External Client App with the client_id that was sent, or the app was removed."),
        fix=mark(
            "Copy the Consumer Key from the app's page in Setup, whole, and check that the app belongs to this org."
        ),
    ),
    NOT_LIVE: Code(
        title=mark("This app isn't live yet"),
        plain=mark("The app was just created. Wait a moment, then connect again."),
        means=mark(
            "This development org imitates the wait of the original: a change is live after the propagation delay."
        ),
        fix=mark("Wait, or start the org without --propagation-delay. The app's page says when it is live."),
    ),
    CONNECTED_APP: Code(
        title=mark("This is a Connected App"),
        plain=mark("The app was set up for another kind of org. Send the reference below to your administrator."),
        means=mark("The consumer key is a Connected App's. MCP servers take External Client Apps alone."),
        fix=mark(
            "Make an External Client App, or import the Connected App's file, and give the client its Consumer Key."
        ),
    ),
    AMBIGUOUS: Code(
        title=mark("The request is ambiguous"),
        plain=mark("The app sent something twice. Send the reference below to the maker of the app."),
        means=mark("client_id or redirect_uri came more than once, which two programs could read differently."),
        fix=mark("The client must send each parameter once (RFC 6749 §3.1)."),
    ),
    SIGN_OUT: Code(
        title=mark("This sign-out request can't be followed"),
        plain=mark("You are as signed in as before. Sign out on this org's own page if you want to."),
        means=mark("The app's request to sign out names no app of this org, or its hint can't be checked."),
        fix=mark("The client sends id_token_hint or client_id, and a registered post_logout_redirect_uri."),
    ),
    NO_CALLBACK: Code(
        title=mark("The client didn't say where to return to"),
        plain=mark("The app is not set up right. Send the reference below to your administrator."),
        means=mark("The app has several Callback URLs, and the request names none."),
        fix=mark("Have the client send redirect_uri with one of them."),
    ),
    CALLBACK: Code(
        title=mark("The callback URL doesn't match"),
        plain=mark(
            "The app wants to send you to an address that isn't registered for it, so you were sent nowhere. Send the"
            " reference below to your administrator."
        ),
        means=mark(
            "redirect_uri must be one of the app's Callback URLs, character by character; only the port of a loopback"
            " address may differ (RFC 8252 §7.3)."
        ),
        fix=mark("If the address belongs to the client, add it to the app's Callback URL in Setup. It works at once."),
    ),
    LOGOUT_URL: Code(
        title=mark("This app may not send you there"),
        plain=mark("The app wants to send you to an address that isn't registered for it, so you were sent nowhere."),
        means=mark("post_logout_redirect_uri must be one of the app's Single Logout URLs, character by character."),
        fix=mark("Add exactly this URL to the app's Single Logout URL, or correct it in the client."),
    ),
    NOT_APPROVED: Code(
        title=mark("You are not approved for this app"),
        plain=mark("An administrator decides who may use this app, and you are not among them yet. Ask them."),
        means=mark(
            "Permitted Users is Admin approved users, and the user has none of the permission sets named there."
        ),
        fix=mark("Assign one of the permission sets, or let all users self-authorize, in the app's Policies."),
    ),
    ADDRESS: Code(
        title=mark("Not from this network"),
        plain=mark("This app can't be used from where you are. Connect from your organisation's network."),
        means=mark("IP Relaxation enforces the trusted ranges of the org and of the app, and the address is in none."),
        fix=mark("Add the network to the trusted ranges, or relax the restriction in the app's Policies."),
    ),
    LEVEL: Code(
        title=mark("This app wants a stronger sign-in"),
        plain=mark("Sign in with a second factor, then connect again."),
        means=mark("The app's Policies require a session level that this session has not, and block those below it."),
        fix=mark("Sign in with a second factor, or let the policy raise the level instead of blocking."),
    ),
    NO_MCP: Code(
        title=mark("You may not use MCP servers"),
        plain=mark("Your permissions don't include MCP servers. An administrator can change that."),
        means=mark("The scope mcp_api was asked for, and none of the user's permission sets allows MCP servers."),
        fix=mark("Give the user a permission set that allows MCP servers."),
    ),
    NO_PERMISSION: Code(
        title=mark("You need a permission for this"),
        plain=mark("This page is for people with a permission that you don't have. An administrator can give it."),
        means=mark("None of the user's permission sets has the permission that the page names."),
        fix=mark("Assign a permission set that has it."),
    ),
    UNREADABLE: Code(
        title=mark("This was not accepted"),
        plain=mark("What was sent can't be used. Nothing was changed."),
        means=mark("A value is malformed, unknown, or sent twice; the page names it and what is allowed."),
        fix=mark("Go back, correct it, and send it again."),
    ),
    NOT_FOUND: Code(
        title=mark("Not found"),
        plain=mark("There is no such thing here, or it is gone."),
        means=mark("This org has no record with this id. Another org's record is never found here."),
        fix=mark("Open it from its list."),
    ),
    TOO_LARGE: Code(
        title=mark("This is too long"),
        plain=mark("What was sent is longer than what is taken. Nothing was changed."),
        means=mark("A form or one of its fields is larger than the limit that the page names."),
        fix=mark("Shorten it."),
    ),
    TOO_MANY: Code(
        title=mark("Too many requests"),
        plain=mark("Wait a moment, then try again."),
        means=mark("One address sent more than is answered in a minute (--requests-per-minute)."),
        fix=mark("Wait; where many people share an address, raise the limit."),
    ),
}


def of_status(status: int) -> str:
    """The code of a request that couldn't be taken, by its HTTP status."""
    return {403: FOREIGN_FORM, 404: NOT_FOUND, 413: TOO_LARGE, 429: TOO_MANY}.get(status, UNREADABLE)
