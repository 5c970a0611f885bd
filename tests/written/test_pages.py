"""Setup's pages of what is written down."""

import csv
import io
import json

import httpx2
import msgspec

from gatelodge.core import audit, calls, users
from gatelodge.core.calls import Batch
from tests.gateway import speaking
from tests.house import House
from tests.oauth.scenes import person
from tests.people import call_tool
from tests.requirements import requirement
from tests.setup import offices
from tests.setup.offices import administrator, app_of, send, words
from tests.written.test_tampering import call, sql


@requirement("audit:page")
def test_the_trail_says_who_changed_what_from_what_to_what(house_on: House):
    robin = administrator(house_on)
    app = app_of(house_on)
    assert send(robin, f"/setup/apps/{app.id}/edit", label="Cursor for all").status_code == 303
    said = words(robin.front.get("/setup/audit?kind=app"))
    assert "Changed an app" in said and "Cursor → became Cursor for all" in said
    assert robin.username in said and "Signed in" not in said
    for narrowed in (
        "person=robin@acme.example",
        f"subject={app.id}",
        f"subject={app.settings.api_name}",
        "from=2026-01-01",
    ):
        assert "Cursor for all" in words(robin.front.get(f"/setup/audit?{narrowed}")), narrowed
    for narrowed in ("person=sam@acme.example", "subject=Postman_app", "to=2020-01-01", "kind=server"):
        assert "became Cursor for all" not in words(robin.front.get(f"/setup/audit?{narrowed}")), narrowed


@requirement("audit:page", "audit:export")
def test_the_trail_goes_on_page_by_page_and_is_exported_whole(house_on: House):
    robin = administrator(house_on)
    for n in range(120):
        house_on.write(audit.record, house_on.org.id, 1000 * n, "=cmd", "app:settings:change", f"x{n}", {"a": '"q"'})
    seen: list[str] = []
    page = robin.front.get("/setup/audit?person==cmd")
    while True:
        found = [word for word in words(page).split() if word[:1] == "x" and word[1:].isdigit()]
        seen += found
        link = next(
            (part for part in page.text.split('"') if part.startswith("/setup/audit?") and "before" in part), ""
        )
        if not link:
            break
        page = robin.front.get(link.replace("&amp;", "&"))
    assert seen == [f"x{n}" for n in reversed(range(120))]
    lines = robin.front.get("/setup/audit/export?format=jsonl&person==cmd")
    assert [json.loads(line)["subject"] for line in lines.text.splitlines()] == seen
    rows = list(csv.DictReader(io.StringIO(robin.front.get("/setup/audit/export?format=csv&person==cmd").text)))
    assert [row["subject"] for row in rows] == seen
    assert rows[0]["actor"] == "'=cmd", "a spreadsheet would run it"
    assert rows[0]["details"] == '{"a":"\\"q\\""}'


@requirement("audit:verified-in-setup")
def test_the_button_checks_both_chains_and_names_what_is_wrong(house_on: House):
    robin = administrator(house_on)
    house_on.write(calls.write, house_on.org.id, Batch([call(house_on.org.id, 1)] * 5, [], {}))
    assert "Not checked yet" in words(robin.front.get("/setup/audit"))
    assert send(robin, "/setup/audit", act="verify").status_code == 303
    assert "Verified just now" in words(robin.front.get("/setup/audit"))
    sql(house_on, "DELETE FROM calls WHERE seq = 3")
    assert send(robin, "/setup/audit", act="verify").status_code == 303
    said = words(robin.front.get("/setup/audit"))
    assert "Broken" in said and "row 3 of the calls was removed" in said


@requirement("audit:rules")
def test_how_long_is_kept_what_is_written_down_is_the_orgs_choice(house_on: House):
    robin = administrator(house_on)
    wrong = send(robin, "/setup/audit", act="rules", calls_days="0", audit_days="soon")
    assert wrong.status_code == 422 and set(offices.errors(wrong)) == {"calls_days", "audit_days"}
    saved = send(robin, "/setup/audit", act="rules", calls_days="30", audit_days="365", reads_wait=None)
    assert saved.status_code == 303
    house_on.run(house_on.site.calls._look())
    rules = house_on.site.calls.rules(house_on.org.id)
    assert (rules.calls_days, rules.audit_days, rules.reads_wait) == (30, 365, False)
    said = words(robin.front.get("/setup/audit?kind=org"))
    assert "Changed what is kept" in said and "calls_days 90 → became 30" in said


@requirement("sign-ins:history")
def test_sign_ins_are_listed_with_their_failures_and_no_name_that_nobody_has(house_on: House):
    sam = person(house_on, 1)
    for username in (sam.username, "hunter2-typed-in-the-wrong-field"):
        front = house_on.client("198.51.100.9")
        login(front, username, "not it at all")
    robin = administrator(house_on)
    said = words(robin.front.get("/setup/sign-ins"))
    assert "wrong password" in said and "unknown username" in said and "198.51.100.9" in said
    assert "hunter2" not in said and "hunter2" not in words(robin.front.get("/setup/audit"))
    narrowed = words(robin.front.get(f"/setup/sign-ins?person={sam.username}"))
    assert "wrong password" in narrowed and "unknown username" not in narrowed and "Signed in" not in narrowed
    offices.sign_in(sam)
    own = words(sam.front.get("/setup/my-sign-ins?person=robin@acme.example"))
    assert own.count("Signed in") == 1 and "wrong password" in own and "unknown username" not in own
    assert sam.front.get("/setup/sign-ins").status_code == 403


def login(front: object, username: str, password: str) -> httpx2.Response:
    page = front.get("/login")  # type: ignore[attr-defined]
    fields = offices.Form(page.text).forms[0][1] | {"username": username, "password": password}
    return front.post("/login", data=fields)  # type: ignore[attr-defined]


@requirement("activity:page")
def test_an_apps_activity_is_drawn_and_told_in_a_table_and_as_csv(house_on: House):
    robin = administrator(house_on)
    app = app_of(house_on, "Claude_Code")
    path = f"/setup/apps/{app.id}/activity"
    assert "Nothing in this time" in words(robin.front.get(path))
    token, url = speaking.token(house_on), f"{house_on.issuer}/mcp/sobject-reads"
    call_tool(house_on.client(), url, token, "soqlQuery", {"q": "SELECT Id FROM Account"})
    call_tool(house_on.client(), url, token, "soqlQuery", {"q": "SELECT No FROM Account"})
    house_on.site.calls.note_sign_in(house_on.org.id, app.id)
    house_on.run(house_on.site.calls.settle())
    for name, parts in (("24h", 24), ("12d", 12), ("90d", 90)):
        page = robin.front.get(f"{path}?range={name}")
        assert page.status_code == 200 and page.text.partition('class="charts"')[2].count("<rect") == 4
        assert "2, 1 with an error" in words(page) and "tool_error" in words(page)
        rows = list(csv.DictReader(io.StringIO(robin.front.get(f"{path}.csv?range={name}").text)))
        assert len(rows) == parts
        last = rows[-1]
        assert (last["sign_ins"], last["calls"], last["errors"]) == ("1", "2", "1") and int(last["p95_ms"]) > 0


@requirement("audit:files-are-guarded")
def test_files_are_for_those_who_may_see_the_page_and_of_their_own_org(house: House):
    app = app_of(house)
    files = ("/setup/audit/export?format=csv", f"/setup/apps/{app.id}/activity.csv")
    nobody, sam = house.client(), offices.sign_in(person(house, 1))
    for file in files:
        assert nobody.get(file).status_code == 303
        assert sam.front.get(file).status_code == 403
    other = offices.another_org(house)
    assert other.front.get(f"/o/other/setup/apps/{app.id}/activity.csv").status_code == 404
    exported = other.front.get("/o/other/setup/audit/export?format=jsonl").text
    assert exported and house.org.id not in exported


@requirement("calls:server-page")
def test_a_servers_page_lists_its_last_calls_with_who_what_and_how_they_ended(house_on: House):
    robin = administrator(house_on)
    assert "No calls yet" in words(robin.front.get("/setup/mcp-servers/sobject-reads"))
    token, url = speaking.token(house_on), f"{house_on.issuer}/mcp/sobject-reads"
    call_tool(house_on.client(), url, token, "soqlQuery", {"q": "SELECT No FROM Account"})
    gone = {"user_id": "005000000000009AAA", "app_id": "0xI000000000009AAA", "server": "sobject-reads"}
    old = [msgspec.structs.replace(call(house_on.org.id, n), name=f"old{n}", **gone) for n in range(60)]
    house_on.write(calls.write, house_on.org.id, Batch(old, [], {}))
    house_on.run(house_on.site.calls.settle())
    page = robin.front.get("/setup/mcp-servers/sobject-reads")
    said = words(page)
    assert "soqlQuery" in said and "Tool error" in said and robin.username in said and "Claude Code" in said
    assert page.text.count("<code>old") == 49 and "005000000000009AAA" in said
    assert "soqlQuery" not in words(robin.front.get("/setup/mcp-servers/sobject-all")).partition("Calls")[2]


@requirement("sign-ins:user-page")
def test_a_users_page_shows_their_recent_sign_ins(house_on: House):
    robin, sam = administrator(house_on), person(house_on, 1)
    user = house_on.read(users.find_by_username, house_on.org.id, sam.username)
    assert "has not signed in yet" in words(robin.front.get(f"/setup/users/{user.id}"))
    login(house_on.client("198.51.100.9"), sam.username, "not it at all")
    offices.sign_in(sam)
    said = words(robin.front.get(f"/setup/users/{user.id}")).partition("Recent sign-ins")[2]
    assert "Signed in" in said and "wrong password" in said and "198.51.100.9" in said
