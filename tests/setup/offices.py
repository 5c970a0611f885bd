"""People who administer an org in process: signed in, with the forms that they send."""

import html
import re
from html.parser import HTMLParser
from typing import Any

import httpx2

from gatelodge.cli import verbs
from gatelodge.core import permissions, users
from gatelodge.core.apps import registry
from gatelodge.core.apps.registry import ExternalClientApp
from gatelodge.core.ids import PERMISSION_SET, USER
from gatelodge.core.permissions import PermissionSet
from gatelodge.core.secrets import new_id
from tests.house import House
from tests.oauth.scenes import person
from tests.people import Form, Person, form_token, tools_list

PASSWORD = "a password long enough"


class Page(HTMLParser):
    """What a browser would send of a page's forms: each field with its values, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.values: dict[str, list[str]] = {}
        self._area, self._select = "", ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name, value = given.get("name") or "", given.get("value") or ""
        if tag == "input" and name and (given.get("type") not in ("checkbox", "radio") or "checked" in given):
            self.values.setdefault(name, []).append(value)
        elif tag == "textarea":
            self._area, self.values[name] = name, [""]
        elif tag == "select":
            self._select = "" if "multiple" in given else name
            self.values.pop(name, None)
        elif tag == "option" and self._select and ("selected" in given or self._select not in self.values):
            self.values[self._select] = [value]  # the first, unless another is selected

    def handle_data(self, data: str) -> None:
        if self._area:
            self.values[self._area][0] += data

    def handle_endtag(self, tag: str) -> None:
        if tag in ("textarea", "select"):
            self._area = self._select = ""


def sign_in(who: Person) -> Person:
    """The same person, signed in to Setup."""
    assert who.sign_in_to_setup().status_code == 303
    return who


def administrator(house: House) -> Person:
    """Robin, who may do everything."""
    return sign_in(person(house))


def officer(house: House, *system: str) -> Person:
    """Somebody whose permission set grants these system permissions alone."""
    name = "_".join(system) or "nothing"
    house.write(
        permissions.create,
        house.org.id,
        new_id(PERMISSION_SET),
        PermissionSet(api_name=name, label=name, system=system),
    )
    add_user(house, f"{name}@acme.example", name, password=PASSWORD)
    return sign_in(Person(house.client(), f"{name}@acme.example", PASSWORD))


def add_user(house: House, username: str, *sets: str, password: str = "") -> str:
    """A user with these permission sets, who signs in with this password or not at all; their id."""
    hashed = house.run(house.site.passwords.hash(password)) if password else ""
    made = house.write(
        users.create, id=new_id(USER), org_id=house.org.id, username=username, name=username.partition("@")[0],
        email=username, password_hash=hashed, permission_sets=sets,
        now=house.site.clock.now(),
    )  # fmt: skip
    return made.id


def another_org(house: House, name: str = "other", *, front: Any = None) -> Person:
    """The administrator of another org of the deployment, signed in there in this browser or in one of their own."""
    house.run(verbs.perform(house.site, "org create", {"name": name, "label": "", "kind": "production"}))
    made = {"org": name, "username": f"eve@{name}.example", "name": "", "email": "", "admin": True}
    house.run(verbs.perform(house.site, "user create", made | {"permission_sets": [], "password": PASSWORD}))
    house.catch_up()
    front = front or house.client()
    fields = Form(front.get(f"/o/{name}/login").text).forms[0][1]
    answer = front.post(f"/o/{name}/login", data=fields | {"username": f"eve@{name}.example", "password": PASSWORD})
    assert answer.status_code == 303 and answer.headers["location"].endswith(f"/o/{name}/setup")
    return Person(front, f"eve@{name}.example", PASSWORD)


def app_of(house: House, api_name: str = "Cursor") -> ExternalClientApp:
    """An app as it is edited now."""
    return house.read(registry.find_by_api_name, house.org.id, api_name)


def send(person: Person, path: str, **changes: Any) -> httpx2.Response:
    """The page's form as it stands, but for these changes; None leaves a field out, as an empty box is."""
    shown = person.front.get(path.partition("#")[0])
    assert shown.status_code == 200, (shown.status_code, shown.headers.get("location"), shown.text[:800])
    return person.front.post(path, data=sent(shown.text, **changes))


def sent(text: str, **changes: Any) -> dict[str, Any]:
    """What the page's forms send, but for these changes."""
    return {name: value for name, value in {**Page(text).values, **changes}.items() if value is not None}


def token(person: Person) -> str:
    """What every form carries."""
    return form_token(person.front.get("/setup/password"))


def errors(page: httpx2.Response) -> dict[str, str]:
    """The sentence beside each field."""
    found = re.findall(r'<p class="err" id="([a-z_]+)-error">(.*?)</p>', page.text, re.DOTALL)
    return {name: html.unescape(sentence) for name, sentence in found}


def words(page: httpx2.Response) -> str:
    """What a person reads on a page."""
    text = re.sub(r"<script.*?</script>|<style.*?</style>", "", page.text, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


def user_id(house: House, username: str) -> str:
    """The id that the audit knows a user by."""
    from gatelodge.core import users

    return house.read(users.find_by_username, house.org.id, username).id


def audited(house: House, subject: str) -> list[tuple[str, str, str]]:
    """Actor, tag and details of what was written down about a record, besides its making and sign-ins."""
    from gatelodge.core.operation import many

    def events() -> Any:
        return (
            yield from many(
                "SELECT actor, tag, details FROM audit_events WHERE subject = :subject AND kind <> 'sign_in'"
                " AND tag <> 'org:settings:create' ORDER BY seq LIMIT :limit",
                lambda actor, tag, details: (actor, tag, details),
                subject=subject,
                limit=100,
            )
        )

    return house.read(events)


def connected(house: House, client: Any, n: int = 1) -> str:
    """An access token for the n-th seeded user, in a browser of their own."""
    who = person(house, n)
    return client.redeem(who.allow(client.authorize_url())["code"]).json()["access_token"]


def calls(house: House, access_token: str) -> int:
    """The status of a call with this token, once the house has caught up."""
    house.catch_up()
    return tools_list(house.client(), f"{house.issuer}/mcp/sobject-reads", access_token).status_code
