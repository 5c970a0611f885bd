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
from gatelodge.web.routes import Route

ENDPOINTS = (
    Route(path="/services/oauth2/authorize", methods=("GET",), answer=authorize),
    Route(path="/services/oauth2/authorize", methods=("POST",), answer=authorize_by_post),
    Route(path="/services/oauth2/par", methods=("POST",), answer=push, any_origin=True),
    Route(path="/services/oauth2/device", methods=("POST",), answer=device.authorize_device, any_origin=True),
    Route(path="/setup/connect", methods=("GET",), answer=device.show, is_page=True),
    Route(path="/setup/connect", methods=("POST",), answer=device.answer, is_page=True),
    Route(path="/setup/connect/{user_code}", methods=("GET",), answer=device.show, is_page=True),
    Route(path="/services/oauth2/token", methods=("POST",), answer=token, any_origin=True),
    Route(path="/services/oauth2/revoke", methods=("POST",), answer=revoke, any_origin=True),
    Route(path="/services/oauth2/introspect", methods=("POST",), answer=introspect),
    Route(path="/services/oauth2/userinfo", methods=("GET", "POST"), answer=userinfo, any_origin=True),
    Route(path="/id/{org}/{user}", methods=("GET", "POST"), answer=identity, any_origin=True),
    Route(path=logout.PATH, methods=("GET",), answer=logout.show, is_page=True),
    Route(path=logout.PATH, methods=("POST",), answer=logout.answer, is_page=True),
    Route(path="/flow", methods=("GET",), answer=show, is_page=True),
    Route(path="/flow", methods=("POST",), answer=answer, is_page=True),
    Route(path="/id/keys", methods=("GET",), answer=jwks, any_origin=True),
    Route(path="/.well-known/oauth-authorization-server", methods=("GET",), answer=metadata, any_origin=True),
    Route(path="/.well-known/openid-configuration", methods=("GET",), answer=metadata, any_origin=True),
)
