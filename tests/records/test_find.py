"""find: plain words and the SOSL subset, compared with plain SQL."""

import json

import pytest

from tests.gateway.speaking import Client
from tests.requirements import requirement

TEXT = {
    "Account": "Name Type Industry Phone Website BillingStreet BillingCity BillingCountry Rating Description",
    "Contact": "Name FirstName LastName Title Department Email Phone MailingCity MailingCountry LeadSource",
}


def matching(sql, source: str, columns: str, *words: str) -> set[str]:
    """The ids of the records that have every word in some column."""
    each = " AND ".join("(" + " OR ".join(f"instr(lower({c}), ?)" for c in columns.split()) + ")" for _ in words)
    values = [word.lower() for word in words for _ in columns.split()]
    return {each for (each,) in sql(f'SELECT Id FROM "{source}" WHERE {each}', *values)}


def found(client: Client, q: str) -> list[dict]:
    answer, is_error = client.call("find", q=q)
    assert not is_error, answer
    return answer["searchRecords"]


@pytest.mark.parametrize(
    "words", ["alder", "ALDER foods", '"Alder Foods"', "alder AND foods", "foods* alder", "  alder\tfoods "]
)
@requirement("records:find")
def test_plain_words_are_looked_up_in_every_object_all_of_them(robin: Client, sql, words: str):
    records = found(robin, words)
    plain = ["alder foods"] if '"' in words else [w.strip("*") for w in words.lower().split() if w != "and"]
    for name, columns in TEXT.items():
        here = {r["Id"] for r in records if r["attributes"]["type"] == name}
        everywhere = matching(sql, name, columns, *plain)
        assert here <= everywhere and len(here) == min(len(everywhere), 20)
    assert all(
        set(r) in ({"attributes", "Id", "Name"}, {"attributes", "Id", "CaseNumber"}, {"attributes", "Id", "Subject"})
        for r in records
    )


@requirement("records:find")
def test_what_is_cut_is_said(robin: Client):
    answer, _ = robin.call("find", q="example")
    assert "Account" in answer["note"] and "RETURNING with a LIMIT" in answer["note"]
    assert "note" not in robin.call("find", q='"Alder Foods"')[0] or len(found(robin, '"Alder Foods"')) >= 20


@requirement("records:sosl")
def test_returning_names_objects_fields_conditions_order_and_limits(robin: Client, sql):
    q = (
        "FIND {example} IN ALL FIELDS RETURNING Contact(Id, Email, LastName WHERE Title = 'CFO' AND Account.Type = 'Partner'"
        " ORDER BY LastName DESC, Email LIMIT 7), Account(Name ORDER BY Name LIMIT 3) LIMIT 9"
    )
    contacts = sql(
        "SELECT c.Id, c.Email, c.LastName FROM Contact c JOIN Account a ON a.Id = c.AccountId WHERE c.Title = 'CFO'"
        " AND a.Type = 'Partner' ORDER BY lower(c.LastName) DESC, lower(c.Email), c.Id LIMIT 7"
    )
    accounts = sql("SELECT Name FROM Account ORDER BY lower(Name), Id LIMIT 3")
    assert [tuple(r.values())[1:] for r in found(robin, q)] == [*contacts, *accounts][:9]
    assert len(found(robin, "find {EXAMPLE} returning contact(id limit 2000)")) == 900
    assert {r["attributes"]["type"] for r in found(robin, "FIND {example} RETURNING Contact, Lead")} == {
        "Contact",
        "Lead",
    }
    assert found(robin, "FIND {example} RETURNING Contact LIMIT 0") == []


@pytest.mark.parametrize(
    ("group", "columns"),
    [("ALL", TEXT["Contact"]), ("NAME", "Name FirstName LastName"), ("EMAIL", "Email"), ("PHONE", "Phone")],
)
@pytest.mark.parametrize("word", ["ada", "555", "example", "cfo"])
@requirement("records:sosl")
def test_in_chooses_the_fields_that_are_searched(robin: Client, sql, group: str, columns: str, word: str):
    records = found(robin, f"FIND {{{word}}} IN {group} FIELDS RETURNING Contact(Id LIMIT 2000)")
    assert {r["Id"] for r in records} == matching(sql, "Contact", columns, word)


@pytest.mark.parametrize(
    ("words", "plain"),
    [("%a", "%a"), ("_a", "_a"), ("a%b", "a%b"), ("'or' 1=1", None), (r"\'\)", "')"), (r"\{x\}", "{x}"), (r"\"alder", '"alder'),
     (r"a\\b", "a\\b"), ("é!", "é!"), ("/%", "/%"), ("%%", "%%"), ("__", "__")],
)  # fmt: skip
@requirement("records:find-escapes")
def test_a_character_that_sql_or_sosl_reads_otherwise_stands_for_itself(
    robin: Client, sql, words: str, plain: str | None
):
    expected = matching(sql, "Account", TEXT["Account"], *([plain] if plain else ["'or'", "1=1"]))
    assert {r["Id"] for r in found(robin, f"FIND {{{words}}} RETURNING Account(Id LIMIT 2000)")} == expected == set()


@pytest.mark.parametrize(
    ("q", "code", "words"),
    [
        ("a", "MALFORMED_SEARCH", "two characters"), ("* *", "MALFORMED_SEARCH", "two characters"),
        ("FIND {}", "MALFORMED_SEARCH", "two characters"), ("FIND {a b c}", "MALFORMED_SEARCH", "two characters"),
        ("alder OR birch", "MALFORMED_SEARCH", "OR is not supported"), ("FIND {alder AND NOT foods}", "MALFORMED_SEARCH", "NOT is not"),
        ("word " * 21, "MALFORMED_SEARCH", "at most 20 words"), ("FIND {alder", "MALFORMED_SEARCH", "unexpected token: '{'"),
        ("FIND 'alder' RETURNING Account", "MALFORMED_SEARCH", "expected {search words}"),
        ("FIND {alder} IN SIDEBAR FIELDS", "MALFORMED_SEARCH", "choose ALL, NAME, EMAIL, PHONE"),
        ("FIND {alder} RETURNING", "MALFORMED_SEARCH", "expected a name"),
        ("FIND {alder} RETURNING Account()", "MALFORMED_SEARCH", "unexpected token: ')'"),
        ("FIND {alder} RETURNING Account(Owner.Name)", "MALFORMED_SEARCH", "fields of the object itself"),
        ("FIND {alder} RETURNING Account(COUNT(Id))", "MALFORMED_SEARCH", "fields of the object itself"),
        ("FIND {alder} RETURNING Account((SELECT Id FROM Contacts))", "MALFORMED_SEARCH", "fields of the object itself"),
        ("FIND {alder} RETURNING Account(Name n)", "MALFORMED_SEARCH", "no alias"),
        ("FIND {alder} RETURNING Account WITH DIVISION = 'x'", "MALFORMED_SEARCH", "WITH DIVISION is not supported"),
        ("FIND {alder} RETURNING Account(Id OFFSET 5)", "MALFORMED_SEARCH", "unexpected token: '5'"),
        ("FIND {alder} RETURNING Nothing", "INVALID_TYPE", "'Nothing' is not supported"),
        ("FIND {alder} RETURNING Account(Nothing)", "INVALID_FIELD", "No such column 'Nothing'"),
        ("FIND {alder} RETURNING Account(Id WHERE COUNT(Id) > 1)", "MALFORMED_QUERY", "COUNT() is of many records"),
        ("FIND {alder} RETURNING Account(Id LIMIT -1)", "MALFORMED_QUERY", "from 0"),
        ("x" * 20_001, "MALFORMED_SEARCH", "at most 20000"),
    ],
)  # fmt: skip
@requirement("records:sosl-refusals")
def test_a_search_that_we_do_not_understand_is_refused_with_the_reason(robin: Client, q: str, code: str, words: str):
    error = robin.refusal(q, "find")
    assert error["errorCode"] == code and words in error["message"], json.dumps(error)
