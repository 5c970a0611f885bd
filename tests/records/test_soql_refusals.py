"""What SOQL is not here: each refusal has a code, says what is wrong, and points at the place."""

import pytest

from tests.gateway.speaking import Client
from tests.requirements import requirement

OUTSIDE = {
    "SELECT TYPEOF What WHEN Account THEN Phone END FROM Task": "TYPEOF",
    "SELECT Id FROM Account USING SCOPE mine": "USING SCOPE",
    "SELECT Id FROM Account FOR VIEW": "FOR VIEW",
    "SELECT Id FROM Account LIMIT 1 FOR REFERENCE": "FOR REFERENCE",
    "SELECT Id FROM Account WHERE Name = 'x' FOR UPDATE": "FOR UPDATE",
    "SELECT Id FROM Account WITH SECURITY_ENFORCED": "WITH SECURITY_ENFORCED",
    "SELECT Id FROM Account WHERE Name = 'x' WITH USER_MODE": "WITH USER_MODE",
    "SELECT Title FROM Account WITH DATA CATEGORY Geo AT x": "WITH DATA",
    "SELECT Id FROM Account ALL ROWS": "ALL ROWS",
    "SELECT Id FROM Account WHERE Type INCLUDES ('a')": "INCLUDES",
    "SELECT Id FROM Account WHERE Type EXCLUDES ('a')": "EXCLUDES",
    "SELECT Type, COUNT(Id) FROM Account GROUP BY ROLLUP(Type)": "ROLLUP",
    "SELECT Type, COUNT(Id) FROM Account GROUP BY CUBE(Type)": "CUBE",
    "SELECT Id FROM Account UPDATE VIEWSTAT": "UPDATE VIEWSTAT",
    "SELECT Id FROM Account LIMIT 5 UPDATE TRACKING": "UPDATE TRACKING",
    "SELECT CALENDAR_YEAR(CreatedDate), COUNT(Id) FROM Account GROUP BY CALENDAR_YEAR(CreatedDate)": "CALENDAR_YEAR",
    "SELECT COUNT(Id) FROM Account GROUP BY DAY_IN_MONTH(CreatedDate)": "DAY_IN_MONTH",
    "SELECT Id FROM Account WHERE DISTANCE(Location, GEOLOCATION(1, 2), 'mi') < 20": "DISTANCE",
    "SELECT DISTINCT Name FROM Account WHERE (": "DISTINCT",
}


@pytest.mark.parametrize("soql", OUTSIDE)
@requirement("soql:outside-is-named")
def test_what_is_outside_the_subset_is_named_and_pointed_at(robin: Client, soql: str):
    error = robin.refusal(soql)
    words = OUTSIDE[soql]
    assert error["errorCode"] == "MALFORMED_QUERY"
    assert f"{words} is not supported here" in error["message"]
    at = soql.index(words)
    _, line, caret, place, _ = error["message"].split("\n")
    assert caret.index("^") == line.index(words) and place == f"ERROR at Row:1:Column:{at + 1}"


@requirement("soql:outside-is-named")
def test_words_inside_quotes_are_not_taken_for_the_language(robin: Client):
    error = robin.refusal("SELECT Id FROM Account WHERE Name = 'with security_enforced for view' AND")
    assert "not supported" not in error["message"] and "ends too early" in error["message"]
    assert (
        robin.query("SELECT COUNT() FROM Account WHERE Name = 'FOR VIEW TYPEOF (((((((((((((((((((((('")["totalSize"]
        == 0
    )


REFUSED = {
    "": ("MALFORMED_QUERY", "ends too early", None),
    "SELECT": ("MALFORMED_QUERY", "ends too early", None),
    "hello": ("MALFORMED_QUERY", "unexpected token: 'hello'; expected SELECT", "hello"),
    "DELETE FROM Account": ("MALFORMED_QUERY", "unexpected token: 'DELETE'", "DELETE"),
    "SELECT Id FROM Account; DROP TABLE Account": ("MALFORMED_QUERY", "unexpected token: ';'", ";"),
    "SELECT Id FROM Account -- comment": ("MALFORMED_QUERY", "unexpected token: '-'", "--"),
    "SELECT * FROM Account": ("MALFORMED_QUERY", "unexpected token: '*'", "*"),
    "SELECT Id, FROM Account": ("MALFORMED_QUERY", "unexpected token: 'FROM'; expected '(', a name", "FROM"),
    "SELECT Id FROM": ("MALFORMED_QUERY", "expected a name", None),
    "SELECT Id FROM Account WHERE": ("MALFORMED_QUERY", "ends too early", None),
    "SELECT Id FROM Account WHERE Name": ("MALFORMED_QUERY", "expected", None),
    "SELECT Id FROM Account WHERE Name == 'x'": ("MALFORMED_QUERY", "unexpected token", "= 'x'"),
    "SELECT Id FROM Account WHERE Name = x": ("MALFORMED_QUERY", "X is no value", "x"),
    'SELECT Id FROM Account WHERE Name = "x"': ("MALFORMED_QUERY", "unexpected token", '"x'),
    "SELECT Id FROM Account WHERE Name = 'x": ("MALFORMED_QUERY", "unexpected token: ''x'", "'x"),
    r"SELECT Id FROM Account WHERE Name = 'a\qb'": ("MALFORMED_QUERY", r"'\q' is no escape", r"\q"),
    r"SELECT Id FROM Account WHERE Name = 'a\ud800b'": ("MALFORMED_QUERY", r"'\ud800' is no escape", r"\ud8"),
    r"SELECT Id FROM Account WHERE Name LIKE 'a\z%'": ("MALFORMED_QUERY", r"'\z' is no escape", r"\z"),
    "SELECT Id FROM Account WHERE Name LIKE null": ("MALFORMED_QUERY", "unexpected token: 'null'; expected a 'string'", "null"),
    "SELECT Id FROM Account WHERE Name > null": ("MALFORMED_QUERY", "null is compared with = and != alone", "Name >"),
    "SELECT Id FROM User WHERE IsActive > false": ("MALFORMED_QUERY", "a boolean is compared", "IsActive >"),
    "SELECT Id FROM User WHERE IsActive = 'true'": ("INVALID_FIELD", "must be of type boolean and not be enclosed", "IsActive ="),
    "SELECT Id FROM Account WHERE Name = 5": ("INVALID_FIELD", "must be of type string and be enclosed", "Name = 5"),
    "SELECT Id FROM Account WHERE NumberOfEmployees = '5'": ("INVALID_FIELD", "must be of type int", "NumberOfEmployees ="),
    "SELECT Id FROM Account WHERE NumberOfEmployees = true": ("INVALID_FIELD", "must be of type int", "NumberOfEmployees ="),
    "SELECT Id FROM Account WHERE NumberOfEmployees LIKE '5%'": ("INVALID_FIELD", "LIKE compares text", "NumberOfEmployees L"),
    "SELECT Id FROM Opportunity WHERE CloseDate = 2026-01-01T00:00:00Z": ("INVALID_FIELD", "must be of type date", "CloseDate ="),
    "SELECT Id FROM Opportunity WHERE CreatedDate = 2026-01-01": ("INVALID_FIELD", "must be of type datetime", "CreatedDate ="),
    "SELECT Id FROM Opportunity WHERE CloseDate = '2026-01-01'": ("INVALID_FIELD", "must be of type date", "CloseDate ="),
    "SELECT Id FROM Opportunity WHERE CloseDate = 2026-02-30": ("MALFORMED_QUERY", "not a date of the calendar", "2026-02-30"),
    "SELECT Id FROM Opportunity WHERE CreatedDate > 2026-02-01T25:00:00Z": ("MALFORMED_QUERY", "not a date", "2026-02-01"),
    "SELECT Id FROM Opportunity WHERE CreatedDate > 0001-01-01T00:00:00+23:59": ("MALFORMED_QUERY", "not a date", "0001"),
    "SELECT Id FROM Account WHERE Name = TODAY": ("INVALID_FIELD", "a date literal is for dates", "Name ="),
    "SELECT Id FROM Opportunity WHERE CloseDate = LAST_N_DAYS": ("MALFORMED_QUERY", "write LAST_N_DAYS:n", "LAST_N"),
    "SELECT Id FROM Opportunity WHERE CloseDate = LAST_N_DAYS:9999": ("MALFORMED_QUERY", "at most 5000", "LAST_N"),
    "SELECT Id FROM Opportunity WHERE CloseDate = TODAY:1": ("MALFORMED_QUERY", "TODAY is no value", "TODAY"),
    "SELECT Id FROM Opportunity WHERE CloseDate = THIS_FISCAL_YEAR": ("MALFORMED_QUERY", "THIS_FISCAL_YEAR is no value", "THIS_F"),
    "SELECT Id FROM Opportunity WHERE CloseDate IN (TODAY)": ("MALFORMED_QUERY", "TODAY is for comparisons", "TODAY"),
    "SELECT Id FROM Opportunity WHERE CloseDate LIKE TODAY": ("MALFORMED_QUERY", "expected a 'string'", "TODAY"),
    "SELECT Id FROM Account WHERE NumberOfEmployees = 99999999999999999999": ("INVALID_FIELD", "must be of type int", "NumberOf"),
    "SELECT Id FROM Account WHERE NumberOfEmployees = 9999999999999999999999999999999": ("MALFORMED_QUERY", "too long", "9" * 31),
    "SELECT Id FROM Account WHERE Id IN ()": ("MALFORMED_QUERY", "unexpected token: ')'", ")"),
    "SELECT Id FROM Account WHERE COUNT(Id) > 1": ("MALFORMED_QUERY", "COUNT() is of many records", "COUNT"),
    "SELECT Id FROM Account ORDER BY MAX(Name)": ("MALFORMED_QUERY", "MAX() is of many records", "MAX"),
    "SELECT Id, COUNT(Id) FROM Account": ("INVALID_FIELD", "Field must be grouped or aggregated: Id", "Id,"),
    "SELECT Name FROM Account GROUP BY Type": ("INVALID_FIELD", "Field must be grouped or aggregated: Name", "Name"),
    "SELECT Type FROM Account GROUP BY Type HAVING Name = 'x'": ("INVALID_FIELD", "grouped or aggregated: Name", "Name ="),
    "SELECT Type FROM Account GROUP BY Type ORDER BY Name": ("INVALID_FIELD", "grouped or aggregated: Name", "Name"),
    "SELECT Id FROM Account HAVING Name = 'x'": ("MALFORMED_QUERY", "HAVING needs GROUP BY", "Account"),
    "SELECT COUNT(Id) FROM Account HAVING COUNT(Id) > 1": ("MALFORMED_QUERY", "HAVING needs GROUP BY", "Account"),
    "SELECT COUNT(), Type FROM Account GROUP BY Type": ("MALFORMED_QUERY", "COUNT() is the whole of a SELECT", "COUNT"),
    "SELECT COUNT() FROM Account ORDER BY Name": ("MALFORMED_QUERY", "SELECT COUNT() has FROM, WHERE", "Account"),
    "SELECT SUM() FROM Account": ("MALFORMED_QUERY", "SUM needs a field", "SUM"),
    "SELECT MEDIAN(AnnualRevenue) FROM Account": ("MALFORMED_QUERY", "MEDIAN is not a supported function", "MEDIAN"),
    "SELECT COUNT(Id) n, MAX(Name) N FROM Account": ("MALFORMED_QUERY", "duplicate alias: N", "MAX"),
    "SELECT Name, Account.Name, COUNT(Id) FROM Contact GROUP BY Name, Account.Name": ("MALFORMED_QUERY", "duplicate alias: Name", "Account.Name, C"),
    "SELECT COUNT(Id) attributes FROM Account": ("MALFORMED_QUERY", "duplicate alias: attributes", "COUNT"),
    "SELECT Type, (SELECT Id FROM Contacts) FROM Account GROUP BY Type": ("MALFORMED_QUERY", "no child subqueries", "Contacts"),
    "SELECT Id, Name, id FROM Account": ("INVALID_FIELD", "duplicate field selected: id", "id FROM"),
    "SELECT Account.Name, Contact.Account.Name FROM Contact": ("INVALID_FIELD", "duplicate field selected", "Contact.A"),
    "SELECT Name n FROM Account": ("MALFORMED_QUERY", "only aggregate queries have aliases", "Name"),
    "SELECT Account.Owner.Name FROM Contact": ("INVALID_FIELD", "paths go one relationship up", "Account.O"),
    "SELECT Id FROM Contacts": ("INVALID_TYPE", "sObject type 'Contacts' is not supported", "Contacts"),
    "SELECT Nothing FROM Account": ("INVALID_FIELD", "No such column 'Nothing' on entity 'Account'", "Nothing"),
    "SELECT Parent.Name FROM Account": ("INVALID_FIELD", "Didn't understand relationship 'Parent'", "Parent"),
    "SELECT Id, (SELECT Id FROM Contact) FROM Account": ("INVALID_FIELD", "Didn't understand relationship 'Contact'", "Contact)"),
    "SELECT Id, (SELECT Id, (SELECT Id FROM Cases) FROM Contacts) FROM Account": ("MALFORMED_QUERY", "one level down", "Contacts"),
    "SELECT Id, (SELECT COUNT(Id) FROM Contacts) FROM Account": ("MALFORMED_QUERY", "a child subquery has", "Contacts"),
    "SELECT Id, (SELECT Id FROM Contacts OFFSET 1) FROM Account": ("MALFORMED_QUERY", "a child subquery has", "Contacts"),
    "SELECT (SELECT Id FROM Cases), (SELECT Id FROM cases) FROM Account": ("MALFORMED_QUERY", "duplicate subquery: Cases", "cases"),
    "SELECT Id FROM Account WHERE Id IN (SELECT AccountId, Id FROM Contact)": ("MALFORMED_QUERY", "selects one field", "Contact"),
    "SELECT Id FROM Account WHERE Id IN (SELECT AccountId FROM Contact LIMIT 1)": ("MALFORMED_QUERY", "has FROM and WHERE alone", "Contact"),
    "SELECT Id FROM Account WHERE Id IN (SELECT COUNT(Id) FROM Contact)": ("MALFORMED_QUERY", "selects one field", "Contact"),
    "SELECT Id FROM Account WHERE Name IN (SELECT Name FROM Contact)": ("INVALID_FIELD", "compares ids with ids", "Name IN"),
    "SELECT Id FROM Account WHERE Id IN (SELECT Id FROM Account WHERE Id IN (SELECT Id FROM Account WHERE Id IN (SELECT Id FROM User)))":
        ("MALFORMED_QUERY", "nested deeper than 2", "User"),
    "SELECT FIELDS(ALL) FROM Account": ("MALFORMED_QUERY", "FIELDS() needs a LIMIT of at most 200", "FIELDS"),
    "SELECT FIELDS(ALL) FROM Account LIMIT 201": ("MALFORMED_QUERY", "FIELDS() needs a LIMIT of at most 200", "FIELDS"),
    "SELECT FIELDS(CUSTOM) FROM Account LIMIT 1": ("MALFORMED_QUERY", "write FIELDS(ALL)", "FIELDS"),
    "SELECT Id, FIELDS(ALL) FROM Account LIMIT 1": ("INVALID_FIELD", "duplicate field selected", "FIELDS"),
    "SELECT Id FROM Account ORDER BY Description": ("INVALID_FIELD", "a long text can't be sorted by", "Description"),
    "SELECT Id FROM Account LIMIT -1": ("MALFORMED_QUERY", "must be a number from 0", "-1"),
    "SELECT Id FROM Account LIMIT 9999999999": ("MALFORMED_QUERY", "must be a number from 0", "9999999999"),
    "SELECT Id FROM Account LIMIT 1.5": ("MALFORMED_QUERY", "unexpected token: '.5'", ".5"),
    "SELECT Id FROM Account OFFSET 2001": ("NUMBER_OUTSIDE_VALID_RANGE", "OFFSET is at most 2000", "Account"),
    "SELECT Id FROM Account a, a.Contacts c": ("MALFORMED_QUERY", "unexpected token: ','", ", a."),
}  # fmt: skip


@pytest.mark.parametrize("soql", REFUSED)
@requirement("soql:refusals-point")
def test_a_refusal_has_its_code_says_why_and_points(robin: Client, soql: str):
    code, words, place = REFUSED[soql]
    error = robin.refusal(soql) if soql else _empty(robin)
    assert error["errorCode"] == code and words in error["message"], error
    if place is not None:
        at = soql.index(place) if soql.count(place) == 1 else soql.rindex(place)
        assert f"ERROR at Row:1:Column:{at + 1}\n" in error["message"], error


def _empty(robin: Client) -> dict[str, str]:
    return robin.refusal(" ")


@requirement("soql:refusals-point")
def test_the_caret_stands_under_the_place_also_in_a_long_query_of_several_lines(robin: Client):
    lines = [
        "SELECT Id,",
        "  Name",
        "FROM Account",
        f"WHERE Name = '{'x' * 300}' AND Nothing = 1 AND Name = '{'y' * 300}'",
    ]
    message = robin.refusal("\n".join(lines))["message"]
    _, shown, caret, place, said = message.split("\n")
    assert shown[caret.index("^") :].startswith("Nothing = 1") and len(shown) <= 120
    assert place == f"ERROR at Row:4:Column:{lines[3].index('Nothing') + 1}" and "No such column 'Nothing'" in said


@pytest.mark.parametrize(
    ("soql", "words"),
    [
        ("SELECT Id FROM Account WHERE " + "(" * 21 + "Name = 'x'" + ")" * 21, "nested deeper than 20"),
        ("SELECT Id FROM Account WHERE " + " OR ".join(["Name = 'x'"] * 201), "more than 200 conditions"),
        ("SELECT Id FROM Account WHERE Name = '" + "x" * 20_000 + "'", "at most 20000"),
        ("SELECT Id FROM Account ORDER BY " + ",".join(["Name"] * 33), "at most 32"),
        ("SELECT Type FROM Account GROUP BY " + ",".join(["Type"] * 33), "at most 32"),
    ],
)
@requirement("soql:size-limits")
def test_a_query_has_a_size(robin: Client, soql: str, words: str):
    assert words in robin.refusal(soql)["message"]


@pytest.mark.parametrize(
    "where",
    ["(" * 20 + "Name = 'x'" + ")" * 20, "NOT (" * 20 + "Name = 'x' OR Id = null AND Type LIKE 'a'" + ")" * 20,
     " OR ".join(["Name != 'x'"] * 200), "NOT " * 4000 + "Name = 'x'", "Id IN (" + ",".join(["'x'"] * 4900) + ")",
     "NOT (Id IN (SELECT AccountId FROM Contact WHERE NOT (Account.Name = 'x' AND Id NOT IN (SELECT WhoId FROM Task))))"],
)  # fmt: skip
@requirement("soql:size-limits")
def test_the_largest_queries_that_are_allowed_run(robin: Client, where: str):
    assert robin.query(f"SELECT COUNT() FROM Account WHERE {where}")["done"] is True
