"""Cookies of an org: named after it, since orgs by path share one browser origin."""

from starlette.requests import Request
from starlette.responses import Response

from gatelodge.core.orgs import Org
from gatelodge.web.site import Site


def cookie_name(site: Site, org: Org, kind: str) -> str:
    """``__Host-gl-<org>`` on https, ``gl-<org>`` on loopback http, where a Secure cookie would be lost."""
    return f"{'__Host-' if site.config.public_url.startswith('https:') else ''}{kind}-{org.id}"


def cookie(site: Site, org: Org, request: Request, kind: str) -> str:
    """The value that this browser sends for this org, or ""."""
    return request.cookies.get(cookie_name(site, org, kind), "")


def set_cookie(site: Site, org: Org, response: Response, kind: str, value: str, max_age: int | None = None) -> None:
    """HttpOnly, SameSite=Lax, Path=/ (the ``__Host-`` prefix demands it); with ``max_age`` 0 it is removed."""
    secure = site.config.public_url.startswith("https:")
    response.set_cookie(
        cookie_name(site, org, kind), value, max_age=max_age, path="/", secure=secure, httponly=True, samesite="lax"
    )
