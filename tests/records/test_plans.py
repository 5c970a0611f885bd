"""What is kept of a query is nobody else's, and no longer true than what it was made from."""

from typing import Any

import msgspec

from gatelodge.core import permissions
from gatelodge.core.permissions import ObjectGrant
from tests.gateway.speaking import Client, token
from tests.house import House
from tests.records import foreign
from tests.records.foreign import granted
from tests.requirements import requirement

AMOUNTS = "SELECT Id, Amount FROM Opportunity LIMIT 1"
TODAY = "SELECT COUNT() FROM Account WHERE CreatedDate = TODAY"


@requirement("records:plans")
def test_the_same_words_are_answered_to_each_user_by_their_own_permissions_as_they_are_now(house: House):
    robin, sam = Client(house, token(house, 0)), Client(house, token(house, 1))
    for _ in range(2):
        assert "Amount" in robin.query(AMOUNTS)["records"][0]
        assert sam.refusal(AMOUNTS)["errorCode"] == "INVALID_FIELD"
    standard = next(each for each in house.read(permissions.of_org, house.org.id) if each.api_name == "Standard_User")
    objects: dict[str, Any] = {
        name: msgspec.structs.replace(grant, without=()) for name, grant in standard.objects.items()
    }
    house.write(permissions.change, house.org.id, msgspec.structs.replace(standard, objects=objects))
    house.catch_up()
    assert "Amount" in sam.query(AMOUNTS)["records"][0]
    house.write(permissions.change, house.org.id, msgspec.structs.replace(standard, revision=standard.revision + 1))
    house.catch_up()
    assert sam.refusal(AMOUNTS)["errorCode"] == "INVALID_FIELD"


@requirement("records:plans")
def test_today_is_another_day_tomorrow(house: House):
    robin = Client(house, token(house))
    today = robin.query(TODAY)["totalSize"]
    yesterday = robin.query("SELECT COUNT() FROM Account WHERE CreatedDate = YESTERDAY")["totalSize"]
    house.later(24 * 3600)
    again = Client(house, token(house))
    assert again.query("SELECT COUNT() FROM Account WHERE CreatedDate = YESTERDAY")["totalSize"] == today
    assert again.query(TODAY)["totalSize"] == 0 or today == yesterday == 0


@requirement("records:plans")
def test_a_row_filter_has_the_values_of_who_asks_and_a_changed_schema_is_another(tmp_path: Any):
    database = foreign.made("sqlite", tmp_path / "records", None)
    own = granted(accounts=ObjectGrant(rows="owner = $user.username"))
    with foreign.serving(database.source) as records:
        query = "SELECT name FROM accounts ORDER BY Id"
        for _ in range(2):
            assert [each["name"] for each in records.query(query, own, username="ann")] == ["Alder"]
            assert [each["name"] for each in records.query(query, own, username="bob")] == ["birch", "Cédar"]
            assert len(records.query(query)) == 4
        database.sql("ALTER TABLE accounts RENAME COLUMN name TO title")
        assert records.refused("soqlQuery", own, username="ann", q=query)[0]["errorCode"] == "INVALID_FIELD"
        renamed = records.query("SELECT title FROM accounts ORDER BY Id", own, username="ann")
        assert [each["title"] for each in renamed] == ["Alder"]
