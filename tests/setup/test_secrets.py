"""Consumer Key and Secret: who sees what and when, and the secret itself used at the token endpoint."""

import re
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gatelodge.core import credentials
from gatelodge.core.apps.settings import ALLOW_A_SECRET, DEMAND_A_SECRET, LABELS
from gatelodge.core.sessions import VERIFIED_FOR
from tests.house import House
from tests.people import OAuthClient, Person, form
from tests.requirements import requirement
from tests.setup.offices import administrator, app_of, audited, errors, officer, send, token, user_id, words

SECRET = re.compile(r'<code id="consumer-secret">([0-9A-F]{64})</code>')
DAY = 86_400


@pytest.fixture
def path(house: House) -> str:
    """The page of an app that demands a secret."""
    return ready(house)


def ready(house: House) -> str:
    app = f"/setup/apps/{app_of(house).id}"
    changes = {"require_secret_for_web_server_flow": "on", "require_secret_for_refresh_token_flow": "on"}
    assert send(administrator(house), f"{app}/edit", **changes).status_code == 303
    return f"{app}/credentials"


def act(person: Person, path: str, what: str, **fields: str) -> httpx2.Response:
    return person.front.post(path, data={"form_token": token(person), "act": what, **fields})


def made(person: Person, path: str, what: str = "make") -> str:
    """A secret that was made just now."""
    answer = act(person, path, what)
    assert answer.status_code == 200, words(answer)
    found = SECRET.search(answer.text)
    assert found and answer.headers["cache-control"] == "no-store"
    return found[1]


def staged_key(house: House) -> str:
    app = app_of(house)
    pairs = house.read(credentials.of_app, app.org_id, app.id, house.site.clock.now())
    return next(pair.client_id for pair in pairs if pair.expires_at is not None)


def client_of(house: House, client_id: str = "") -> OAuthClient:
    """The app's client, knocking at the token endpoint."""
    redirect = "http://localhost:8787/callback"
    return OAuthClient(front=house.client(), issuer=house.issuer, client_id=client_id or app_of(house).consumer_key,
                       redirect_uri=redirect)  # fmt: skip


def is_let_in(house: House, client_id: str, secret: str) -> bool:
    """Whether the token endpoint takes this pair: another complaint than about the client is about the code."""
    house.catch_up()
    answer = client_of(house, client_id).redeem("no-such-code", client_secret=secret)
    assert answer.status_code in (400, 401), answer.text
    return answer.json()["error"] == "invalid_grant"


@requirement("secrets:only-where-needed")
def test_a_public_client_sees_why_it_has_no_secret_and_gets_none_by_force(house: House):
    robin, app = administrator(house), app_of(house)
    path = f"/setup/apps/{app.id}/credentials"
    page = robin.front.get(path)
    assert app.consumer_key in page.text and "public client and has no use for a secret" in words(page)
    assert "Make a consumer secret" not in page.text and "Stage a new" not in page.text
    for what in ("make", "stage"):
        refused = act(robin, path, what)
        assert refused.status_code == 422 and not SECRET.search(refused.text)
    assert "no option of its Settings demands a secret" in words(act(robin, path, "make"))
    assert "has no secret yet" in words(act(robin, path, "stage"))
    assert audited(house, app.id)[-1][1] == "app:settings:create"


@pytest.mark.parametrize("name", [*DEMAND_A_SECRET, *ALLOW_A_SECRET])
@requirement("secrets:only-where-needed")
def test_a_secret_is_offered_where_an_option_demands_or_allows_one(house: House, name: str):
    robin, app = administrator(house), app_of(house)
    changes: dict[str, Any] = {name: "on"}
    if name == "code_credentials_flow":
        changes["scopes"] = ["openid"]
    if name == "jwt_bearer_flow":
        from tests.setup.test_app_options import public_keys

        changes["public_keys"] = public_keys()
    answer = send(robin, f"/setup/apps/{app.id}/edit", **changes)
    assert answer.status_code == 303, errors(answer)
    page = robin.front.get(f"/setup/apps/{app.id}/credentials")
    assert "Make a consumer secret" in page.text
    demanded = f"{LABELS[name]} demands that this app proves who it is" in words(page)
    assert demanded == (name in DEMAND_A_SECRET)
    assert len(made(robin, f"/setup/apps/{app.id}/credentials")) == 64


@requirement("secrets:verified")
def test_after_ten_minutes_the_key_stays_in_sight_and_the_secret_needs_a_proof_of_identity(house: House, path: str):
    robin = administrator(house)
    made(robin, path)
    house.later(VERIFIED_FOR)
    page = robin.front.get(path)
    assert page.status_code == 200 and app_of(house).consumer_key in page.text
    assert "Made" not in words(page) and "Stage a new" not in page.text and "last used" not in words(page)
    assert f'href="/setup/verify?next={path}"' in page.text
    for what in ("make", "stage", "apply", "discard"):
        sent_away = act(robin, path, what, confirm="Cursor")
        assert sent_away.status_code == 303
        assert sent_away.headers["location"] == f"{house.issuer}/setup/verify?next={path}"
    ask = robin.front.get(f"/setup/verify?next={path}")
    proved = robin.front.post("/setup/verify", data=form(ask, "/setup/verify") | {"password": robin.password})
    assert proved.headers["location"] == f"{house.issuer}{path}"
    page = robin.front.get(path)
    assert "Stage a new key and secret" in page.text and "Verified until" in words(page)
    assert len(made(robin, path, "stage")) == 64


@requirement("secrets:shown-once")
def test_a_secret_stands_in_one_answer_alone(
    house: House, path: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    robin = administrator(house)
    secret = made(robin, path)
    assert robin.front.get(path).text.count(secret) == 0
    again = act(robin, path, "make")  # what reloading the page sends
    assert again.status_code == 422 and secret not in again.text and not SECRET.search(again.text)
    assert "has a secret already" in words(again)
    second = made(robin, path, "stage")
    assert second != secret
    again = act(robin, path, "stage")
    assert again.status_code == 422 and "staged already" in words(again) and not SECRET.search(again.text)
    app = app_of(house)
    kept = str(audited(house, app.id)) + str(house.run(house.site.live.client(app.org_id, app.consumer_key)))
    kept += "".join(robin.front.get(each).text for each in (path, f"/setup/apps/{app.id}", "/setup/apps"))
    said = capfd.readouterr()
    files = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    for value in (secret, second):
        assert value not in kept and value not in said.out + said.err
        assert value.encode() not in files


@requirement("secrets:staged", "secrets:written-down")
def test_both_pairs_work_until_the_staged_one_is_applied(house_on: House):
    path = ready(house_on)
    robin, old = administrator(house_on), app_of(house_on).consumer_key
    first = made(robin, path)
    assert is_let_in(house_on, old, first) and not is_let_in(house_on, old, "0" * 64)
    second = made(robin, path, "stage")
    new = staged_key(house_on)
    assert is_let_in(house_on, old, first) and is_let_in(house_on, new, second)
    assert not is_let_in(house_on, new, first) and not is_let_in(house_on, old, second)
    for typed, said in (("", "Type the API Name of this app, Cursor."), ("cursor", "'cursor' is not the API Name")):
        refused = act(robin, path, "apply", confirm=typed)
        assert refused.status_code == 422 and said in errors(refused)["confirm"]
        assert f'id="confirm" name="confirm" value="{typed}"' in refused.text
    assert app_of(house_on).consumer_key == old and is_let_in(house_on, old, first)
    assert act(robin, path, "apply", confirm="Cursor").status_code == 303
    assert app_of(house_on).consumer_key == new and f'id="consumer-key">{new}<' in robin.front.get(path).text
    assert is_let_in(house_on, new, second) and not is_let_in(house_on, old, first)
    house_on.later(31 * DAY)
    assert is_let_in(house_on, new, second)
    tags = [(actor, tag) for actor, tag, _ in audited(house_on, app_of(house_on).id) if ":secret:" in tag]
    assert tags == [
        (user_id(house_on, "robin@acme.example"), f"app:secret:{what}") for what in ("make", "stage", "apply")
    ]


@requirement("secrets:staged", "secrets:written-down")
def test_a_staged_pair_is_discarded_or_ends_by_itself_after_thirty_days(house: House, path: str):
    robin = administrator(house)
    first, old = made(robin, path), app_of(house).consumer_key
    second = made(robin, path, "stage")
    new = staged_key(house)
    assert act(robin, path, "discard").status_code == 422 and is_let_in(house, new, second)
    assert act(robin, path, "discard", confirm="Cursor").status_code == 303
    assert not is_let_in(house, new, second) and is_let_in(house, old, first)
    assert audited(house, app_of(house).id)[-1][:2] == (user_id(house, "robin@acme.example"), "app:secret:discard")
    third = made(robin, path, "stage")
    late = staged_key(house)
    house.later(30 * DAY - 60)
    assert is_let_in(house, late, third)
    house.later(60)
    assert not is_let_in(house, late, third) and is_let_in(house, old, first)
    again = administrator(house)
    assert "Stage a new key and secret" in again.front.get(path).text
    assert "No pair is staged" in words(act(again, path, "apply", confirm="Cursor"))


@requirement("secrets:staged")
def test_the_page_shows_who_made_each_pair_when_it_ends_and_when_it_was_used(house: House, path: str):
    robin = administrator(house)
    first = made(robin, path)
    made(robin, path, "stage")
    page = words(robin.front.get(path))
    assert "by robin@acme.example" in page and page.count("Never") == 2
    ends = re.search(r"(\w{3} \d+, \d{4}, \d\d:\d\d) \(UTC\) unless it is applied", page)
    assert ends and ends[1] == "Oct 21, 2026, 14:13"
    house.later(90)
    assert is_let_in(house, app_of(house).consumer_key, first)
    shown = robin.front.get(path)
    assert words(shown).count("Never") == 1 and re.search(
        r'<time datetime="[^"]*T14:14:[^<]*</time></td><td>No end', shown.text
    )


@requirement("secrets:written-down")
def test_a_secret_works_and_counts_as_a_change_that_every_node_has(house: House, path: str):
    robin, before = administrator(house), app_of(house).revision
    secret = made(robin, path)
    assert app_of(house).revision == before + 1
    house.catch_up()
    client = client_of(house)
    sam = house.told.users[1]
    given = Person(client.front, sam["username"], sam["password"]).allow(client.authorize_url())
    assert client.redeem(given["code"]).json()["error"] == "invalid_client"
    given = Person(client.front, sam["username"], sam["password"]).allow(client.authorize_url())
    assert client.redeem(given["code"], client_secret=secret).status_code == 200
    shown = words(robin.front.get(path.removesuffix("/credentials")))
    assert "Live on 1 of 1 nodes" in shown


@requirement("secrets:verified")
def test_secrets_are_for_the_developer_alone_and_for_this_orgs_apps(house: House, path: str):
    for person in (officer(house, "edit_policies"), officer(house, "manage_users")):
        assert act(person, path, "make").status_code == 403
    robin = administrator(house)
    assert act(robin, path.replace(app_of(house).id, "0xI000000000000AAA"), "make").status_code == 404
    assert act(robin, path, "steal").status_code == 400
    assert robin.front.post(path, data={"act": "make"}).status_code == 403
    assert "In use" not in words(robin.front.get(path)), "nothing was made"
