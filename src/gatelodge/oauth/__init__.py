"""The face of the protocol: what OAuth clients and the people signing in through them see."""

from gatelodge.oauth import device, logout
from gatelodge.oauth.authorize import authorize, authorize_by_post
from gatelodge.oauth.discovery import jwks, metadata
from gatelodge.oauth.interaction import answer, show
from gatelodge.oauth.introspection import introspect
from gatelodge.oauth.par import push
from gatelodge.oauth.revocation import revoke
from gatelodge.oauth.token import token
from gatelodge.oauth.userinfo import identity, userinfo
from gatelodge.web.refusals import on_a_page
from gatelodge.web.routes import Route
from gatelodge.web.site import Endpoint


def _page(method: str, path: str, answer: Endpoint) -> Route:
    """A row for people, which tells on a page what it can't take."""
    return Route(path=path, methods=(method,), answer=on_a_page(answer), is_page=True, refuses_unreadable=True)


ENDPOINTS = (
    Route(path="/services/oauth2/authorize", methods=("GET",), answer=on_a_page(authorize), refuses_unreadable=True),
    Route(path="/services/oauth2/authorize", methods=("POST",), answer=authorize_by_post),
    Route(path="/services/oauth2/par", methods=("POST",), answer=push, any_origin=True),
    Route(path="/services/oauth2/device", methods=("POST",), answer=device.authorize_device, any_origin=True),
    _page("GET", "/setup/connect", device.show),
    _page("POST", "/setup/connect", device.answer),
    _page("GET", "/setup/connect/{user_code}", device.show),
    Route(path="/services/oauth2/token", methods=("POST",), answer=token, any_origin=True),
    Route(path="/services/oauth2/revoke", methods=("POST",), answer=revoke, any_origin=True),
    Route(path="/services/oauth2/introspect", methods=("POST",), answer=introspect),
    Route(path="/services/oauth2/userinfo", methods=("GET", "POST"), answer=userinfo, any_origin=True),
    Route(path="/id/{org}/{user}", methods=("GET", "POST"), answer=identity, any_origin=True),
    _page("GET", logout.PATH, logout.show),
    _page("POST", logout.PATH, logout.answer),
    _page("GET", "/flow", show),
    _page("POST", "/flow", answer),
    Route(path="/id/keys", methods=("GET",), answer=jwks, any_origin=True),
    Route(path="/.well-known/oauth-authorization-server", methods=("GET",), answer=metadata, any_origin=True),
    Route(path="/.well-known/openid-configuration", methods=("GET",), answer=metadata, any_origin=True),
)
