"""Disabling, deleting and restoring an app, as an administrator and as its users see it."""

from gatelodge.core.permissions import EDIT_POLICIES
from tests.gateway.speaking import Client
from tests.house import House
from tests.oauth.scenes import add_app
from tests.people import Form, OAuthClient, Person
from tests.requirements import requirement
from tests.setup.offices import administrator, app_of, audited, errors, officer, send, token, words

CALLBACK = "http://localhost:8080/callback"
NAME = "Claude_Code"


def path_of(house: House) -> str:
    return f"/setup/apps/{app_of(house, NAME).id}"


def connect(house: House) -> tuple[Person, OAuthClient, dict[str, str]]:
    """Sam has connected Claude Code: the person, the client and its tokens."""
    key, user = app_of(house, NAME).consumer_key, house.told.users[1]
    client = OAuthClient(front=house.client(), issuer=house.issuer, client_id=key, redirect_uri=CALLBACK)
    sam = Person(house.client(), user["username"], user["password"])
    return sam, client, client.redeem(sam.allow(client.authorize_url())["code"]).json()


def may_call(house: House, tokens: dict[str, str]) -> bool:
    return Client(house, tokens["access_token"]).modern("tools/list").status_code == 200


@requirement("apps:disable-undo")
def test_disabling_bites_at_once_and_is_taken_back_with_one_button(house_on: House):
    _, client, tokens = connect(house_on)
    robin, path = administrator(house_on), path_of(house_on)
    gone = robin.front.post(f"{path}/state", data={"form_token": token(robin), "act": "disable"})
    page = robin.front.get(gone.headers["location"])
    house_on.catch_up()
    assert "refused at once" in words(page) and "Undo" in words(page) and not may_call(house_on, tokens)
    assert client.refresh(tokens["refresh_token"]).status_code in (400, 401)
    undo = next(fields for action, fields in Form(page.text).forms if action.endswith("/state"))
    assert robin.front.post(f"{path}/state", data={**undo, "act": "enable"}).status_code == 303
    house_on.catch_up()
    assert may_call(house_on, tokens) and client.refresh(tokens["refresh_token"]).status_code == 200
    assert robin.front.post(f"{path}/state", data={"form_token": token(robin), "act": "explode"}).status_code == 400


@requirement("apps:deleted", "apps:delete-by-name")
def test_a_deleted_app_is_refused_everywhere_and_comes_back_without_its_users(house_on: House):
    sam, client, tokens = connect(house_on)
    robin, path, app = administrator(house_on), path_of(house_on), app_of(house_on, NAME)
    refused = send(robin, f"{path}/delete", confirm="leaving?")
    assert refused.status_code == 422 and "'leaving?' is not the API Name" in errors(refused)["confirm"]
    assert may_call(house_on, tokens)
    assert send(robin, f"{path}/delete", confirm=NAME).status_code == 303
    house_on.catch_up()
    assert not may_call(house_on, tokens) and client.refresh(tokens["refresh_token"]).status_code in (400, 401)
    assert sam.go(client.authorize_url()).status_code == 400 and robin.front.get(path).status_code == 404
    assert "Claude Code" in words(robin.front.get("/setup/apps/deleted"))
    back = robin.front.post("/setup/apps/deleted", data={"form_token": token(robin), "app_id": app.id})
    assert back.headers["location"].endswith(f"{app.id}?done=restored")
    house_on.catch_up()
    assert not may_call(house_on, tokens) and client.refresh(tokens["refresh_token"]).status_code == 400
    assert app_of(house_on, NAME).consumer_key == app.consumer_key
    assert [tag for _, tag, _ in audited(house_on, app.id)][-2:] == ["app:settings:delete", "app:settings:restore"]
    assert may_call(house_on, client.redeem(sam.allow(client.authorize_url())["code"]).json())


@requirement("apps:deleted", "apps:delete-by-name")
def test_after_thirty_days_a_deleted_app_is_gone_and_before_its_name_may_be_taken(house_on: House):
    robin, path, app = administrator(house_on), path_of(house_on), app_of(house_on, NAME)
    assert send(robin, f"{path}/delete").status_code == 303  # nobody ever used it: no name is asked for
    add_app(house_on, label="Another", api_name=NAME)
    taken = robin.front.post("/setup/apps/deleted", data={"form_token": token(robin), "app_id": app.id})
    assert taken.status_code == 409 and "is taken in this org" in words(taken)
    house_on.later(30 * 86_400 + 1)
    house_on.run(house_on.app.clean())
    robin = administrator(house_on)
    assert "No app was deleted" in words(robin.front.get("/setup/apps/deleted"))
    over = robin.front.post("/setup/apps/deleted", data={"form_token": token(robin), "app_id": app.id})
    assert over.status_code == 409 and "30 days are over" in words(over)


@requirement("apps:deleted")
def test_who_may_only_look_can_neither_delete_nor_restore(house_on: House):
    path = path_of(house_on)
    looking = officer(house_on, EDIT_POLICIES)
    assert looking.front.get(f"{path}/delete").status_code == 403
    assert looking.front.post("/setup/apps/deleted", data={"form_token": token(looking)}).status_code == 403
