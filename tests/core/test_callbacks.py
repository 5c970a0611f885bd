"""Callback URLs: what may be registered, and what matches, against the rule written a second time."""

import itertools
import string
from urllib.parse import urlsplit

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gatelodge.core.apps import callbacks, presets
from tests.generated import MANY
from tests.requirements import requirement

HOSTS = ("localhost", "127.0.0.1", "[::1]")
PATHS = st.lists(st.text(string.ascii_letters + string.digits + "-_~", min_size=1, max_size=6), max_size=3).map(
    lambda parts: "".join(f"/{part}" for part in parts)
)
PORTS = st.one_of(st.just(""), st.integers(1, 65535).map(lambda n: f":{n}"))
LOOPBACK = st.builds(lambda host, port, path: f"http://{host}{port}{path}", st.sampled_from(HOSTS), PORTS, PATHS)
HTTPS = st.builds(
    lambda host, port, path, query: f"https://{host}{port}{path}{query}",
    st.sampled_from(["client.example", "a-b.c.example", "xn--bcher-kva.example", "192.0.2.1", "[2001:db8::1]"]),
    PORTS,
    PATHS,
    st.sampled_from(["", "?a=b", "?x=%20&y"]),
)
CUSTOM = st.builds(
    lambda scheme, path: f"{scheme}{path or '/cb'}",
    st.sampled_from(["cursor://anysphere.cursor-mcp", "com.example.app:", "vscode://x.y", "io.github.someone-x:"]),
    PATHS,
)
REGISTERED = st.one_of(LOOPBACK, HTTPS, CUSTOM)
ODD = st.sampled_from(
    ["/", "//", "\\", "@", ":", "?", "#", "%", "%00", "%2e", "%2F", "..", "/../", ";", " ", "\t", "\n", "\x00", "é", "\uff0e",
     "\uff18", "\u200b", "\u202e", "*", "evil.example", "user@", "localhost", "127.0.0.1", "[::1]", "http:", "https:", "0", "9"]
)  # fmt: skip


@st.composite
def bent(draw: st.DrawFn) -> tuple[str, str]:
    """A registered URL and the same with a few changes."""
    url = draw(REGISTERED)
    asked = url
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(asked)))
        piece = draw(st.one_of(ODD, st.characters(codec="utf-8")))
        asked = asked[:at] + piece + asked[at + draw(st.integers(0, 2)) :]
    return url, asked


def is_the_same(registered: str, asked: str) -> bool:
    """RFC 9700 §4.1.3 and RFC 8252 §7.3, without a pattern: equal, or loopback and equal without their ports."""
    if registered == asked:
        return True
    for host in HOSTS:
        start = f"http://{host}"
        if registered.startswith(start) and asked.startswith(start):
            ours, theirs = (without_port(url[len(start) :]) for url in (registered, asked))
            return ours is not None and ours == theirs
    return False


def without_port(rest: str) -> str | None:
    """What follows the host, without its port; None when what stands there is none."""
    if not rest.startswith(":"):
        return rest
    digits = "".join(itertools.takewhile(lambda c: c in "0123456789", rest[1:6]))
    end, number = len(digits) + 1, int(digits or "0")
    return rest[end:] if 0 < number <= 65535 and rest[end : end + 1] in ("", "/") else None


@requirement("callbacks:matching")
@MANY
@given(bent())
def test_a_bent_url_matches_exactly_when_the_rule_says_so(urls: tuple[str, str]):
    registered, asked = urls
    assert callbacks.problem(registered) == ""
    assert callbacks.matches(registered, asked) is is_the_same(registered, asked), (registered, asked)


@requirement("callbacks:matching")
@MANY
@given(REGISTERED, REGISTERED)
def test_two_registered_urls_match_only_when_they_are_the_same(one: str, two: str):
    assert callbacks.matches(one, two) is is_the_same(one, two) is callbacks.matches(two, one)
    assert callbacks.matches(one, one)


@requirement("callbacks:matching")
@MANY
@given(LOOPBACK, st.one_of(st.integers(-10, 70_000).map(str), st.text(max_size=6)))
def test_a_loopback_url_matches_on_every_port_there_is_and_on_nothing_else(registered: str, port: str):
    parts = urlsplit(registered)
    host = next(host for host in HOSTS if registered.startswith(f"http://{host}"))
    asked = f"http://{host}:{port}{parts.path}"
    is_a_port = port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536
    assert callbacks.matches(registered, asked) is is_a_port


@requirement("callbacks:registration", "callbacks:matching")
@MANY
@given(st.one_of(st.text(max_size=60), bent().map(lambda urls: urls[1])))
def test_what_may_be_registered_is_read_alike_by_everybody(url: str):
    if callbacks.problem(url):
        assert not callbacks.matches(url, url)
        return
    parts = urlsplit(url)
    assert url.isascii() and url.isprintable() and " " not in url and "#" not in url and "\\" not in url
    if parts.scheme in ("http", "https"):
        assert parts.geturl() == url or url.endswith("?")
    assert parts.fragment == ""
    assert not {".", ".."} & {segment.lower().replace("%2e", ".") for segment in parts.path.split("/")}
    if parts.scheme in ("http", "https"):
        assert parts.username is None and parts.password is None
        assert parts.hostname and (parts.port is None or 0 < parts.port < 65536)
    if parts.scheme == "http":
        assert parts.hostname in ("localhost", "127.0.0.1", "::1") and callbacks.is_loopback(url)
    if parts.scheme not in ("http", "https"):
        assert parts.scheme in callbacks.CLIENT_SCHEMES or "." in parts.scheme
        assert callbacks.is_custom_scheme(url)
    assert callbacks.matches(url, url)


@requirement("callbacks:registration")
@MANY
@given(st.text(max_size=80), st.lists(REGISTERED, max_size=4))
def test_any_text_at_all_gets_an_answer(asked: str, registered: list[str]):
    assert isinstance(callbacks.problem(asked), str)
    near = callbacks.near_miss(tuple(registered), asked)
    if near is not None:
        assert near[0] in registered and near[1]


@requirement("callbacks:near-miss")
@MANY
@given(bent())
def test_a_near_miss_is_only_told_of_what_does_not_match(urls: tuple[str, str]):
    registered, asked = urls
    assume(not callbacks.matches(registered, asked))
    near = callbacks.near_miss((registered,), asked)
    if near is not None:
        assert near[0] == registered != asked


@requirement("callbacks:registration")
@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("", "not a URL"),
        ("callback", "not a URL"),
        ("//client.example/cb", "not a URL"),
        ("http://client.example/cb", "not encrypted"),
        ("http://192.168.0.1/cb", "not encrypted"),
        ("http://localhost.evil.example/cb", "not encrypted"),
        ("http://0.0.0.0/cb", "not encrypted"),
        ("http://127.0.0.2:8080/cb", "loopback"),
        ("http://localhost:8080?x=1", "loopback"),
        ("http://app.localhost/cb", "loopback"),
        ("HTTPS://client.example/cb", "not a URL"),
        ("https://user@client.example/cb", "user information"),
        ("https://user:pw@client.example/cb", "user information"),
        ("https:///cb", "user information"),
        ("https://", "user information"),
        ("https://client.example/cb#x", "fragment"),
        ("https://client.example/*", "wildcard"),
        ("https://*.client.example/cb", "wildcard"),
        ("https://client.example/a b", "space"),
        ("https://clïent.example/cb", "ASCII"),
        ("https://client.example/a/../b", "path segment"),
        ("https://client.example/a/%2e%2E/b", "path segment"),
        ("https://client.example/a/.%2e", "path segment"),
        ("https://client.example/.", "path segment"),
        ("https://client.example/%zz", "bare %"),
        ("https://client.example/%0a", "bare %"),
        ("https://client.example\\@evil.example/", "character"),
        ("https://client.example/<script>", "character"),
        ("https://client.example:0/cb", "port"),
        ("https://client.example:65536/cb", "port"),
        ("http://localhost:99999/cb", "port"),
        ("javascript:alert(1)", "javascript:"),
        ("data:text/html,x", "data:"),
        ("file:///etc/passwd", "file:"),
        ("vbscript:x", "vbscript:"),
        ("blob:https://x.example/y", "blob:"),
        ("about:blank", "about:"),
        ("view-source:https://x.example", "view-source:"),
        ("ms-settings:x", "ms-settings:"),
        ("intent://x", "intent:"),
        ("urn:ietf:wg:oauth:2.0:oob", "urn:"),
        ("x-apple.systempreferences:com.apple", "reversed domain name"),
        ("com.:x", "reversed domain name"),
        ("com..x:y", "reversed domain name"),
        ("c.x:y", "reversed domain name"),
        ("cursor://[", "not a URL"),
        ("cursor://[::1]/cb", "not a URL"),
        ("https://[0]/cb", "address"),
        ("https://[::1/cb", "address"),
        ("https://client.example/" + "x" * 500, "512"),
    ],
)
def test_what_may_not_be_registered_is_refused_with_the_reason(url: str, word: str):
    assert word in callbacks.problem(url)


@requirement("callbacks:registration")
@pytest.mark.parametrize(
    "url",
    [
        "https://client.example",
        "https://client.example/",
        "https://client.example:8443/cb?tenant=a%20b",
        "https://localhost:8443/cb",
        "https://[2001:db8::1]/cb",
        "http://localhost",
        "http://127.0.0.1:1/cb",
        "http://[::1]:65535/",
        "com.example.app:/cb",
        "com.googleusercontent.apps.123-abc:/oauth2redirect",
        "xn--p1ai.xn--e1afmkfd:/cb",
        *(url for preset in presets.PRESETS for url in preset.callback_urls),
    ],
)
def test_what_real_clients_use_may_be_registered(url: str):
    assert callbacks.problem(url) == ""


@requirement("callbacks:identity")
@pytest.mark.parametrize(
    ("url", "is_assured"),
    [
        ("https://client.example/cb", True),
        ("https://localhost.example/cb", True),
        ("https://notlocalhost/cb", True),
        ("https://1270.0.0.1.example/cb", True),
        ("https://localhost/cb", False),
        ("https://LOCALHOST:1/cb", False),
        ("https://app.localhost/cb", False),
        ("https://127.0.0.1", False),
        ("https://127.1.2.3:8/cb", False),
        ("https://[::1]/cb", False),
        ("http://localhost/cb", False),
        ("cursor://x/cb", False),
        ("com.example.app:/cb", False),
    ],
)
def test_only_https_beyond_this_computer_assures_who_the_client_is(url: str, is_assured: bool):
    assert callbacks.has_assured_identity(url) is is_assured
