"""Who the user is, for an app that was let in: OpenID's userinfo endpoint and the original's identity URL.

Both take every access token of the org, whatever its audience, JWT or opaque (decision 0020). The token comes in the
Authorization header alone: one in a body or a URL is not read (RFC 6750 §2.2 and §2.3 are optional).
"""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gatelodge.core.orgs import Org
from gatelodge.core.scopes import EMAIL, ID, OPENID, PROFILE
from gatelodge.oauth import issuing
from gatelodge.oauth.errors import NO_STORE
from gatelodge.web.access_tokens import Accepted, NotAccepted, challenges
from gatelodge.web.site import Site

IDENTITY_SCOPES = (ID, OPENID, PROFILE, EMAIL)
"""Any of these opens the identity URL, which says as much as the scopes allow."""


async def userinfo(site: Site, org: Org, request: Request) -> Response:
    """The claims of OpenID Connect Core §5.3, as far as the token's scopes reach (§5.4)."""
    try:
        accepted = await _accepted(site, org, request, (OPENID,))
    except NotAccepted as turned:
        return _turned_away(org, turned, OPENID)
    return _answer(claims(org, accepted) | await _attributes(site, org, accepted))


async def identity(site: Site, org: Org, request: Request) -> Response:
    """The identity URL ``/id/<org>/<user>`` in the original's shape, for the token's own user and nobody else."""
    try:
        accepted = await _accepted(site, org, request, IDENTITY_SCOPES)
        if not _names(request.path_params["org"], org.id) or not _names(
            request.path_params["user"], accepted.claims.sub
        ):
            raise NotAccepted(404, "", f"the token's own identity is at {identity_url(org, accepted.claims.sub)}")
    except NotAccepted as turned:
        return _turned_away(org, turned, " ".join(IDENTITY_SCOPES))
    return _answer(who(org, accepted) | await _attributes(site, org, accepted))


def identity_url(org: Org, user_id: str) -> str:
    """Where a user's identity is: the ``id`` of token answers."""
    return f"{org.issuer}/id/{org.id}/{user_id}"


def claims(org: Org, accepted: Accepted) -> dict[str, Any]:
    """What userinfo tells: the ids always, the rest by scope."""
    user, scopes = accepted.user.user, accepted.scopes
    told: dict[str, Any] = {"sub": user.id, "user_id": user.id, "organization_id": org.id}
    if PROFILE in scopes:
        told |= {"name": user.name, "preferred_username": user.username, "zoneinfo": user.time_zone}
        told |= {"profile": identity_url(org, user.id), "active": True}
    if EMAIL in scopes:
        told["email"] = user.email
    return told


def who(org: Org, accepted: Accepted) -> dict[str, Any]:
    """What the identity URL tells. The scope ``id`` reaches all of it, ``profile`` and ``email`` their part."""
    user, scopes = accepted.user.user, accepted.scopes
    told: dict[str, Any] = {
        "id": identity_url(org, user.id),
        "asserted_user": True,
        "user_id": user.id,
        "organization_id": org.id,
        "active": True,
        "urls": {"profile": identity_url(org, user.id)},
    }
    if ID in scopes or PROFILE in scopes:
        told |= {"username": user.username, "display_name": user.name, "timezone": user.time_zone}
    if ID in scopes or EMAIL in scopes:
        told["email"] = user.email
    return told


async def _accepted(site: Site, org: Org, request: Request, scopes: tuple[str, ...]) -> Accepted:
    """The token of this request, if it has one of these scopes. Raises ``NotAccepted``."""
    accepted = await site.access.check(org, request, audience=None, takes_opaque=True)
    if not set(scopes) & set(accepted.scopes):
        raise NotAccepted(403, "insufficient_scope", f"this needs a token with the scope {' or '.join(scopes)}")
    return accepted


async def _attributes(site: Site, org: Org, accepted: Accepted) -> dict[str, Any]:
    """The app's custom attributes as its Policies are now, not as they were when the token was made."""
    found = await issuing.custom_attributes(site, org, accepted.client, accepted.user.user.id)
    return {"custom_attributes": found} if found else {}


def _names(given: str, record_id: str) -> bool:
    """Whether this is the record's id, with its checksum or without."""
    return given in (record_id, record_id[:15])


def _answer(told: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(told), headers=NO_STORE, media_type="application/json")


def _turned_away(org: Org, turned: NotAccepted, scope: str) -> Response:
    """The refusal with its challenge (RFC 6750 §3; without a token in the request, no error code)."""
    headers = dict(NO_STORE)
    if turned.status == 401 or turned.error:  # noqa: PLR2004 - what another token would mend
        wanted = f', scope="{scope}"' if turned.error == "insufficient_scope" else ""
        headers["WWW-Authenticate"] = challenges(turned, f'realm="{org.issuer}"{wanted}')
    body = {"error": turned.error or "refused", "error_description": turned.why}
    return Response(msgspec.json.encode(body), turned.status, headers, media_type="application/json")
