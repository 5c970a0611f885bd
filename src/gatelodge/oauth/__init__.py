"""The face of the protocol: what OAuth clients and the people signing in through them see."""

from gatelodge.oauth.authorize import authorize
from gatelodge.oauth.discovery import jwks, metadata
from gatelodge.oauth.interaction import answer, show
from gatelodge.oauth.token import token
from gatelodge.web.routes import Route

ENDPOINTS = (
    Route(path="/services/oauth2/authorize", methods=("GET",), answer=authorize),
    Route(path="/services/oauth2/token", methods=("POST",), answer=token, any_origin=True),
    Route(path="/flow", methods=("GET",), answer=show, is_page=True),
    Route(path="/flow", methods=("POST",), answer=answer, is_page=True),
    Route(path="/id/keys", methods=("GET",), answer=jwks, any_origin=True),
    Route(path="/.well-known/oauth-authorization-server", methods=("GET",), answer=metadata, any_origin=True),
    Route(path="/.well-known/openid-configuration", methods=("GET",), answer=metadata, any_origin=True),
)
