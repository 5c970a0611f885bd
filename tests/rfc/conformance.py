"""docs/reference/conformance.md, made from the manifest: which sentence of which specification is tried by which test."""

from pathlib import Path
from typing import Any

from tests import requirements

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/reference/conformance.md"
PREFIX = "rfc_"
SECTIONS = {
    "rfc_oauth21": "OAuth 2.1",
    "rfc_6749": "RFC 6749, the authorization framework",
    "rfc_9700": "RFC 9700, best current practice",
    "rfc_6750": "RFC 6750, bearer tokens",
    "rfc_tokens": "Tokens: RFC 7009, 7636, 7662, 8707, 9068",
    "rfc_clients": "Clients and grants: RFC 7523, 8252, 8628, 8693, 9126, 9449",
    "rfc_discovery": "Discovery: RFC 8414, 9207, 9728",
    "rfc_openid": "OpenID Connect, the parts that are used",
    "rfc_mcp": "MCP authorization and transport, 2026-07-28 and 2025-11-25",
}
HEAD = """# Conformance

What the specifications demand of an authorization server and of an MCP server, in our own words, and which tests try it.
Only what is required stands here: what a specification recommends or allows is in the pages about each flow. The page is
made from `tests/manifest/rfc_*.toml`; every test that is named exists, and runs with `make check` or `make test`.

Not spoken, so that nothing is demanded: request objects (RFC 9101; they are refused), dynamic registration (RFC 7591) and
client metadata documents; nor are JSON-RPC batches, which the revision 2025-03-26 alone had. The password grant does not
exist; the implicit grant only as the legacy user-agent flow of an app whose developer turned it on.
"""


def requirements_of_rfcs() -> dict[str, dict[str, Any]]:
    """Those of the specifications, by id, each with its ``tests`` (none where it is deferred) and ``deferred``."""
    return {name: entry for entries in by_file().values() for name, entry in entries.items()}


def by_file() -> dict[str, dict[str, dict[str, Any]]]:
    """The same by manifest file, in the order of the page."""
    files = {path.stem for path in requirements.MANIFEST.glob(f"{PREFIX}*.toml")}
    assert files == set(SECTIONS), files ^ set(SECTIONS)
    return {
        file: {
            name: {"tests": [], "deferred": "", **entry}
            for name, entry in requirements.read(requirements.MANIFEST / f"{file}.toml").items()
        }
        for file in SECTIONS
    }


def page() -> str:
    """The page as it must stand."""
    found = by_file()
    count = sum(map(len, found.values()))
    deferred = {name: entry for entries in found.values() for name, entry in entries.items() if entry["deferred"]}
    lines = [HEAD, f"{count} requirements, {len(deferred)} of them not met."]
    if deferred:
        lines += ["", "Not met:", ""]
        lines += [f"- {each['source']}: {each['behavior']} {each['deferred']}" for each in deferred.values()]
    for file, entries in found.items():
        lines += ["", f"## {SECTIONS[file]}", "", "| Section | What must be true | Tried by |", "| --- | --- | --- |"]
        lines += [
            f"| {each['source']} | {each['behavior']} | {_tried_by(each)} |".replace("| |", "|")
            for each in entries.values()
        ]
    return "\n".join(lines) + "\n"


def _tried_by(entry: dict[str, Any]) -> str:
    return "<br>".join(f"`{test}`" for test in entry["tests"]) or "not met"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
