"""A browser for other languages' programs: ``xdg-open URL`` signs a user in by HTTP, allows, and follows the way back.

Run as ``python fake_browser.py USERNAME PASSWORD URL``. It goes to the background at once: programs wait for xdg-open.
"""

import os
import stat
import sys
from pathlib import Path
from urllib.parse import urljoin

import httpx2

ROOT = Path(__file__).parent.parent.parent


def on_path(folder: Path, user: dict[str, str]) -> dict[str, str]:
    """The environment of a program whose browser is this one, signed in as this user."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "browser.log"
    for name in ("xdg-open", "sensible-browser", "www-browser"):
        script = folder / name
        script.write_text(
            f"#!/bin/sh\nexport PYTHONPATH={ROOT}\n"
            f'{sys.executable} {__file__} {user["username"]} {user["password"]} "$1" >>{log} 2>&1 &\n'
        )
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "BROWSER": str(folder / "xdg-open")}


def walk(url: str, username: str, password: str) -> int:
    """Sign in, allow, and deliver the answer to the program's callback. The status that the program answered."""
    from tests.people import Person, form

    with httpx2.Client(timeout=20) as http:
        person = Person(http, username, password)
        page = person.go(url)
        if 'name="password"' in page.text:
            page = person.answer(page, username=username, password=password)
        assert 'value="allow"' in page.text, f"{page.url} is not the consent page:\n{page.text}"
        answer = http.post(str(page.url), data=form(page, "/flow") | {"answer": "allow"})
        return http.get(urljoin(str(page.url), answer.headers["location"])).status_code


if __name__ == "__main__":
    sys.stdout.write(f"{walk(sys.argv[3], sys.argv[1], sys.argv[2])}\n")
