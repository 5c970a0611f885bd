"""Signing out through an app (OpenID Connect RP-Initiated Logout 1.0): the person is asked, then sent back.

A plain GET signs nobody out: any page can make a browser send one. What ends is the session of this browser; the app's
own connection goes on until it is revoked, as one with the scope refresh_token is meant to (Back-Channel Logout §2.7).
"""

from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gatelodge.core import error_codes, tokens
from gatelodge.core.apps import callbacks
from gatelodge.core.orgs import Org
from gatelodge.core.propagation import LiveClient
from gatelodge.core.tokens import Unacceptable
from gatelodge.oauth import messages
from gatelodge.oauth.errors import NO_STORE, ToldToTheUser
from gatelodge.oauth.way_back import form_action, location
from gatelodge.web import browser, forms, pages
from gatelodge.web.site import Site
from gatelodge.words import Reason, reason

PATH = "/services/auth/idp/oidc/logout"
PARAMETERS = ("id_token_hint", "client_id", "post_logout_redirect_uri", "state")


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What an app asks for: ``sent`` as it came, ``client`` where it said which it is, ``way_back`` the registered URL
    with its ``state`` ("" for none).
    """

    sent: dict[str, str]
    client: LiveClient | None = None
    way_back: str = ""

    @property
    def name(self) -> str:
        """What people call the app."""
        return self.client.name if self.client else ""


async def show(site: Site, org: Org, request: Request) -> Response:
    """GET: ask whoever is signed in; say so where nobody is."""
    fields = forms.once(forms.parse(request.scope["query_string"]))
    try:
        wish = await _wish(site, org, fields)
    except ToldToTheUser as refused:
        return await messages.refusal_page(site, org, request, refused)
    return await _page(site, org, request, wish)


async def answer(site: Site, org: Org, request: Request) -> Response:
    """POST: the person's answer from our page, or an app's request that it sends as a form (§2)."""
    fields = forms.once(await forms.read_form(request))
    if browser.TOKEN_FIELD not in fields:
        # Sent from another site, so without our cookies: asked again by GET, which has them.
        sent = {name: fields[name] for name in PARAMETERS if name in fields}
        return RedirectResponse(f"{org.issuer}{PATH}?{urlencode(sent)}", 303, headers=NO_STORE)
    browser.check_form(site, org, request, fields)
    try:
        wish = await _wish(site, org, fields)
    except ToldToTheUser as refused:
        return await messages.refusal_page(site, org, request, refused)
    if fields.get("answer") != "sign_out":
        return await _page(site, org, request, wish, stays=True)
    return await _signed_out(site, org, request, wish)


async def _wish(site: Site, org: Org, fields: dict[str, str]) -> Wish:
    """What is asked for, as far as it may be. Raises ``ToldToTheUser``: nobody is sent anywhere then."""
    sent = {name: fields[name] for name in PARAMETERS if name in fields}
    client_id = await _client_id(site, org, sent)
    client = await site.live.client(org.id, client_id) if client_id else None
    if client_id and (client is None or not client.is_enabled):
        raise _refused(
            "invalid_client_id",
            reason("No enabled app of this org has the consumer key {client_id:.100}.", client_id=client_id),
        )
    asked = sent.get("post_logout_redirect_uri", "")
    if not asked:
        return Wish(sent=sent, client=client)
    if client is None:
        raise _refused("invalid_request", reason("post_logout_redirect_uri came without id_token_hint or client_id."))
    if asked not in client.settings.logout_urls:  # byte for byte, or this were an open redirect
        raise ToldToTheUser(
            "redirect_uri_mismatch",
            reason("This app may not send you there"),
            number=error_codes.LOGOUT_URL,
            what=reason(
                "{name} asks to send you to an address that is not among its Single Logout URLs.", name=client.name
            ),
            asked=asked,
            allowed=client.settings.logout_urls,
            fix=reason("Add exactly this URL to the app's Single Logout URL, or correct it in the app."),
            app_id=client.app_id,
        )
    state = {"state": sent["state"]} if "state" in sent else {}
    return Wish(sent=sent, client=client, way_back=location(asked, state) if state else asked)


async def _client_id(site: Site, org: Org, sent: dict[str, str]) -> str:
    """Whose request this is: the hint's audience, which client_id must not contradict (§2). "" when nothing says it."""
    said = sent.get("client_id", "")
    if "id_token_hint" not in sent:
        return said
    try:
        hint = tokens.read_id_token(sent["id_token_hint"], (await site.live.keys(org.id)).verifying, issuer=org.issuer)
    except Unacceptable as error:
        raise _refused(
            "invalid_request",
            reason(
                "The id_token_hint is no ID token of this org that can still be checked: {error}. Its app may"
                " send client_id in place of it.",
                error=error,
            ),
        ) from None
    if said not in ("", hint.aud):
        raise _refused(
            "invalid_request",
            reason("client_id is {said:.100}, and the id_token_hint is for {aud}.", said=said, aud=hint.aud),
        )
    return hint.aud


def _refused(code: str, what: Reason) -> ToldToTheUser:
    return ToldToTheUser(
        code,
        reason("This sign-out request can't be followed"),
        number=error_codes.SIGN_OUT,
        what=what,
        fix=reason("Sign out in Setup or on this org's own page, and tell the app's developer what stands here."),
    )


async def _page(site: Site, org: Org, request: Request, wish: Wish, *, stays: bool = False) -> Response:
    """Ask, or say how things stand. Nobody is sent on from here: a link or the form's answer does that."""
    session = await browser.session_of(site, org, request)
    return pages.render(
        site,
        org,
        request,
        "oauth/sign_out.html",
        is_flow=True,
        session=session,
        form_action=(form_action(wish.way_back),) if wish.way_back else (),
        user=session.user if session else None,
        stays=stays and session is not None,
        client_name=wish.name,
        way_back=wish.way_back,
        action=f"{org.path}{PATH}",
        sent=wish.sent,
    )


async def _signed_out(site: Site, org: Org, request: Request, wish: Wish) -> Response:
    """End the session, and go where the app asked; an app on the computer gets a link, as after consent."""
    if wish.way_back and callbacks.is_custom_scheme(wish.way_back):
        response = pages.render(
            site, org, request, "oauth/return.html", is_flow=True, client_name=wish.name, url=wish.way_back
        )
    else:
        response = RedirectResponse(
            wish.way_back or f"{org.issuer}{PATH}", 303, headers={**NO_STORE, "Referrer-Policy": "no-referrer"}
        )
    await browser.sign_out(site, org, request, response)
    return response
