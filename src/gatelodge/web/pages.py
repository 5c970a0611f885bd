"""Rendering a page: the template, and the headers that keep a browser from doing what nobody meant."""

import hashlib
from functools import lru_cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, PrefixLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from gatelodge import words
from gatelodge.core.call_arguments import visible
from gatelodge.core.orgs import Org
from gatelodge.core.sessions import Session
from gatelodge.web import browser, moments
from gatelodge.web.routes import Route
from gatelodge.web.site import Site

THEMES = ("light", "dark")
THEME_COOKIE = "gl-theme"
TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}


def render(
    site: Site,
    org: Org,
    request: Request,
    template: str,
    /,
    *,
    status: int = 200,
    session: Session | None = None,
    is_flow: bool = False,
    has_passkeys: bool = False,
    form_action: tuple[str, ...] = (),
    **context: Any,
) -> Response:
    """A page of this org. ``is_flow``: a page of sign-in and consent, with no script at all, or only the one for
    passkeys; ``form_action`` names where the browser may be sent after its form besides ourselves.
    """
    tie = browser.tie_of(site, org, request)
    body = (
        environment()
        .get_template(template)
        .render(
            **_of_every_page(site, org, request, session),
            form_token=browser.form_token(site, org, request, tie),
            has_passkeys=has_passkeys,
            **context,
        )
    )
    headers = _headers(_scripts(org, is_flow=is_flow, has_passkeys=has_passkeys), form_action)
    response = HTMLResponse(body, status, headers=headers)
    if tie != browser.browser_of(site, org, request):
        browser.set_cookie(site, org, response, browser.BROWSER, tie)
    return response


def _of_every_page(site: Site, org: Org, request: Request, session: Session | None) -> dict[str, Any]:
    now = site.clock.now()
    return {
        "org": org,
        "base": org.path,
        "session": session,
        "theme": _theme(request, session),
        "language": words.reader().language,
        "moment": lambda at: moments.moment(at, now),
        "zone_in_words": moments.zone_in_words(now),
        "here": request.scope["path"],
        "is_development": site.config.is_development,
        "static": lambda name: f"{org.path}/static/{name}?v={_version(name)}",
    }


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The templates of all faces, each under its face's name. A name that a page doesn't give is an error."""
    made = Environment(
        extensions=["jinja2.ext.i18n"],
        loader=PrefixLoader(
            {
                "oauth": PackageLoader("gatelodge.oauth"),
                "setup": PackageLoader("gatelodge.setup"),
                "web": PackageLoader("gatelodge.web"),
            }
        ),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {"parted": parted, "stressed": stressed, "seen": seen}
    made.globals |= {"_": words._, "gettext": words._, "ngettext": words.ngettext}
    made.filters |= {"day": moments.day, "in_full": moments.in_full, "number": moments.number, "spark": moments.spark}
    return made


def _theme(request: Request, session: Session | None) -> str:
    """The colour scheme that the person chose; before anybody is signed in, the one this browser had last."""
    theme = session.user.theme if session else request.cookies.get(THEME_COOKIE, "")
    return theme if theme in THEMES else ""


def stressed(text: str, **values: str) -> Markup:
    """A sentence with its values put in, each of them stressed."""
    shown = {name: Markup("<strong>{}</strong>").format(value) for name, value in values.items()}
    return escape(text).format(**shown)


def parted(text: str, other: str) -> tuple[str, str, str]:
    """A text cut where it differs from another: what both begin with, the difference, what both end with."""
    shortest = min(len(text), len(other))
    start = next((n for n in range(shortest) if text[n] != other[n]), shortest)
    end = next((n for n in range(shortest - start) if text[-1 - n] != other[-1 - n]), shortest - start)
    return text[:start], text[start : len(text) - end], text[len(text) - end :]


def seen(text: str) -> str:
    """Text that a person typed, or a program sent, with the characters in it that nobody would see as their escapes."""
    return "\n".join(visible(line) for line in text.split("\n"))


def _scripts(org: Org, *, is_flow: bool, has_passkeys: bool) -> str:
    """Which scripts a page may load: of the flow's pages none but the one for passkeys, by its whole URL."""
    if not is_flow:
        return "'self'"
    return f"{org.issuer}/static/passkeys.js" if has_passkeys else "'none'"


def _headers(scripts: str, form_action: tuple[str, ...]) -> dict[str, str]:
    connect = "'self'" if scripts == "'self'" else "'none'"
    targets = " ".join(("'self'", *form_action))
    policy = (
        f"default-src 'none'; style-src 'self'; img-src 'self'; script-src {scripts}; connect-src {connect};"
        f" form-action {targets}; frame-ancestors 'none'; base-uri 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        # Not no-referrer: with it browsers send "Origin: null" with our own forms.
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-store",
    }


@lru_cache(maxsize=64)
def _file(name: str) -> bytes | None:
    found = resources.files("gatelodge.web").joinpath("static").joinpath(name)
    return found.read_bytes() if "/" not in name and not name.startswith(".") and found.is_file() else None


@lru_cache(maxsize=64)
def _version(name: str) -> str:
    content = _file(name)
    assert content is not None, f"no static file {name}"  # templates name only files that ship
    return hashlib.sha256(content).hexdigest()[:12]


async def static(site: Site, org: Org, request: Request) -> Response:
    """One file that ships with the program; its URL changes with its content."""
    name = request.path_params["name"]
    kind = TYPES.get(name.rpartition(".")[2])
    content = _file(name) if kind else None
    if content is None:
        return PlainTextResponse("Not found\n", 404)
    return Response(content, headers={**FOREVER, "X-Content-Type-Options": "nosniff"}, media_type=kind)


STATIC_ROUTES = (Route(path="/static/{name}", methods=("GET",), answer=static, is_page=True),)
