"""The face of the protocol: what OAuth clients and the people signing in through them see."""

from gatelodge.oauth import logout
from gatelodge.oauth.authorize import authorize
from gatelodge.oauth.discovery import jwks, metadata
from gatelodge.oauth.interaction import answer, show
from gatelodge.oauth.introspection import introspect
from gatelodge.oauth.revocation import revoke
from gatelodge.oauth.token import token
from gatelodge.oauth.userinfo import identity, userinfo
from gatelodge.web.routes import Route

ENDPOINTS = (
    Route(path="/services/oauth2/authorize", methods=("GET",), answer=authorize),
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
