"""The way back to the client: the redirect with its parameters, and what the browser must be told to let it happen."""

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gatelodge.core.apps import callbacks
from gatelodge.oauth.errors import NO_STORE, OAuthError, ascii_text
from gatelodge.oauth.requests import LONGEST_STATE, Asked
from gatelodge.web import pages
from gatelodge.web.site import Site
from gatelodge.words import _


def form_action(redirect_uri: str) -> str:
    """The source that CSP's ``form-action`` needs so that Chromium follows the redirect after a form: the origin, the
    scheme alone for a custom scheme and for an IPv6 address such as ``[::1]``, which CSP can't name.
    """
    scheme, _, rest = redirect_uri.partition(":")
    if callbacks.is_custom_scheme(redirect_uri) or rest.startswith("//["):
        return f"{scheme}:"
    return f"{scheme}://{rest.removeprefix('//').partition('/')[0].partition('?')[0]}"


def host_in_words(redirect_uri: str) -> str:
    """Where the user is sent, for the consent page (MCP: Localhost Redirect URI Risks)."""
    if callbacks.is_custom_scheme(redirect_uri):
        return _("an app on this computer ({partition}:)").format(partition=redirect_uri.partition(":")[0])
    authority = redirect_uri.partition("://")[2].partition("/")[0].partition("?")[0]
    return (
        _("{authority} (this computer)").format(authority=authority)
        if callbacks.is_on_this_computer(redirect_uri)
        else authority
    )


def location(redirect_uri: str, parameters: dict[str, str]) -> str:
    """The redirect URI with parameters added to a query it may have (RFC 6749 §4.1.2)."""
    return f"{redirect_uri}{'&' if '?' in redirect_uri else '?'}{urlencode(parameters)}"


def fragment(redirect_uri: str, parameters: dict[str, str]) -> str:
    """The redirect URI with parameters in its fragment, which no browser sends on (RFC 6749 §4.2.2)."""
    return f"{redirect_uri}#{urlencode(parameters)}"


def back(site: Site, request: Request, asked: Asked, parameters: dict[str, str]) -> Response:
    """Send the browser back with these parameters, the ``state`` it came with and our ``iss`` (RFC 9207 §2): in the
    query, or in the fragment for the user-agent flow, errors too.
    """
    state = asked.request.state
    if state is not None and len(state) <= LONGEST_STATE:
        parameters = {**parameters, "state": state}
    write = fragment if asked.returns_token else location
    url = write(asked.redirect_uri, {**parameters, "iss": asked.org.issuer})
    if callbacks.is_custom_scheme(asked.redirect_uri):
        # A browser asks before it opens an app, and may have been told to ignore redirects to one: a link always works.
        return pages.render(
            site, asked.org, request, "oauth/return.html", is_flow=True, client_name=asked.client.name, url=url
        )
    # 303, so that no browser sends a posted password on (RFC 9700 §4.12).
    return RedirectResponse(url, 303, headers={**NO_STORE, "Referrer-Policy": "no-referrer"})


def back_with_refusal(site: Site, request: Request, asked: Asked, refused: OAuthError) -> Response:
    """Tell the client why, by the registered way back (RFC 6749 §4.1.2.1)."""
    return back(site, request, asked, {"error": refused.error, "error_description": ascii_text(refused.description)})
