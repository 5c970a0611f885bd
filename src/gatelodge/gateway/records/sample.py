"""The sample database: a small company's customers, made by this script from a seed, so that everybody has the same."""

import datetime as dt
import random
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from gatelodge.core import ids
from gatelodge.gateway.records.schema import Field, SObject

SEED = 20260728


def _owner(children: str) -> Field:
    return Field("OwnerId", "reference", "Owner ID", "User", "Owner", children)


def _dates() -> tuple[Field, ...]:
    return (
        Field("CreatedDate", "datetime", "Created Date"),
        Field("LastModifiedDate", "datetime", "Last Modified Date"),
    )


def _text(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, "string") for name in names)


ID = Field("Id", "id", "Record ID")
USER = SObject(
    "User", "User", "Users", "Name",
    (ID, *_text("Name", "FirstName", "LastName"), Field("Username", "string"), Field("Email", "email"),
     Field("Title", "string"), Field("Department", "string"), Field("IsActive", "boolean", "Active"), *_dates()),
)  # fmt: skip
ACCOUNT = SObject(
    "Account", "Account", "Accounts", "Name",
    (ID, Field("Name", "string", "Account Name"), Field("Type", "picklist"), Field("Industry", "picklist"),
     Field("Phone", "phone"), Field("Website", "url"), *_text("BillingStreet", "BillingCity", "BillingCountry"),
     Field("AnnualRevenue", "currency", "Annual Revenue"), Field("NumberOfEmployees", "int", "Employees"),
     Field("Rating", "picklist"), Field("Description", "textarea"), _owner("OwnedAccounts"), *_dates()),
)  # fmt: skip
CONTACT = SObject(
    "Contact", "Contact", "Contacts", "Name",
    (ID, Field("Name", "string", "Full Name"), *_text("FirstName", "LastName", "Title", "Department"),
     Field("Email", "email"), Field("Phone", "phone"), Field("MailingCity", "string"),
     Field("MailingCountry", "string"), Field("AccountId", "reference", "Account ID", "Account", "Account", "Contacts"),
     Field("LeadSource", "picklist", "Lead Source"), _owner("OwnedContacts"), *_dates()),
)  # fmt: skip
OPPORTUNITY = SObject(
    "Opportunity", "Opportunity", "Opportunities", "Name",
    (ID, Field("Name", "string", "Opportunity Name"), Field("StageName", "picklist", "Stage"),
     Field("Amount", "currency"), Field("Probability", "double", "Probability (%)"), Field("CloseDate", "date", "Close Date"),
     Field("IsClosed", "boolean", "Closed"), Field("IsWon", "boolean", "Won"), Field("Type", "picklist"),
     Field("NextStep", "string", "Next Step"),
     Field("AccountId", "reference", "Account ID", "Account", "Account", "Opportunities"), _owner("OwnedOpportunities"),
     *_dates()),
)  # fmt: skip
CASE = SObject(
    "Case", "Case", "Cases", "CaseNumber",
    (ID, Field("CaseNumber", "string", "Case Number"), Field("Subject", "string"), Field("Description", "textarea"),
     Field("Status", "picklist"), Field("Priority", "picklist"), Field("Origin", "picklist", "Case Origin"),
     Field("IsClosed", "boolean", "Closed"), Field("ClosedDate", "datetime", "Date/Time Closed"),
     Field("AccountId", "reference", "Account ID", "Account", "Account", "Cases"),
     Field("ContactId", "reference", "Contact ID", "Contact", "Contact", "Cases"), _owner("OwnedCases"), *_dates()),
)  # fmt: skip
LEAD = SObject(
    "Lead", "Lead", "Leads", "Name",
    (ID, Field("Name", "string", "Full Name"), *_text("FirstName", "LastName", "Company", "Title"),
     Field("Email", "email"), Field("Phone", "phone"), Field("City", "string"), Field("Country", "string"),
     Field("Status", "picklist"), Field("Rating", "picklist"), Field("LeadSource", "picklist", "Lead Source"),
     Field("IsConverted", "boolean", "Converted"), _owner("OwnedLeads"), *_dates()),
)  # fmt: skip
TASK = SObject(
    "Task", "Task", "Tasks", "Subject",
    (ID, Field("Subject", "string"), Field("Status", "picklist"), Field("Priority", "picklist"),
     Field("ActivityDate", "date", "Due Date"), Field("Description", "textarea"),
     Field("WhoId", "reference", "Contact ID", "Contact", "Who", "Tasks"),
     Field("WhatId", "reference", "Account ID", "Account", "What", "Tasks"), Field("IsClosed", "boolean", "Closed"),
     _owner("OwnedTasks"), *_dates()),
)  # fmt: skip
PREFIXES = {
    "Account": "001",
    "Contact": "003",
    "Opportunity": "006",
    "Case": "500",
    "Lead": "00Q",
    "Task": "00T",
    "User": "005",
}


OBJECTS = tuple(
    msgspec.structs.replace(each, id_prefix=PREFIXES[each.name], created="CreatedDate", changed="LastModifiedDate")
    for each in (ACCOUNT, CONTACT, OPPORTUNITY, CASE, LEAD, TASK, USER)
)


def _words(text: str) -> list[str]:
    return text.split()


FIRST = _words(
    "Ada Amara Bram Chloe Dmitri Elif Femi Greta Hana Ivo Jonas Kaya Liam Mei Nadia Oskar Priya Quinn "
    "Rosa Sven Tara Uma Viktor Wanda Ximena Yusuf Zofia "
)
LAST = _words(
    "Adeyemi Bauer Castillo Dubois Eriksen Fontaine Garcia Haddad Ito Jansen Kowalski Lindqvist Moreau "
    "Nair Okafor Petrov Quist Rossi Schmidt Tanaka Ueda Vogel Walsh Xu Yilmaz Zeller "
)
STEMS = _words(
    "Alder Birch Cobalt Delta Ember Fjord Granite Harbor Indigo Juniper Kestrel Lumen Meridian Northwind "
    "Orchard Pioneer Quarry Ridge Summit Tidal Umber Vertex Willow Zephyr "
)
TRADES = ("Logistics", "Foods", "Robotics", "Textiles", "Energy", "Health", "Media", "Tools", "Optics", "Travel")
INDUSTRIES = ("Manufacturing", "Retail", "Healthcare", "Energy", "Technology", "Transportation", "Media", "Finance")
PLACES = (("Dublin", "Ireland"), ("Berlin", "Germany"), ("Lyon", "France"), ("Porto", "Portugal"), ("Oslo", "Norway"),
          ("Austin", "United States"), ("Toronto", "Canada"), ("Osaka", "Japan"), ("Lagos", "Nigeria"), ("Lima", "Peru"))  # fmt: skip
STAGES = (
    ("Prospecting", 10),
    ("Qualification", 20),
    ("Proposal", 50),
    ("Negotiation", 75),
    ("Closed Won", 100),
    ("Closed Lost", 0),
)
PROBLEMS = ("Invoice shows the wrong amount", "Delivery is late", "Can't sign in", "Part arrived damaged",
            "Question about the warranty", "Export fails", "Address must be changed", "Price list is missing")  # fmt: skip
SOURCES = ("Web", "Phone Inquiry", "Partner Referral", "Trade Show", "Other")
ERRANDS = ("Call", "Send the quote", "Prepare the demo", "Follow up", "Check in", "Send the contract")


def make_sample(path: Path, today: dt.date) -> None:
    """Write the sample database, its dates laid around ``today``. It appears under its name only when it is whole."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    engine = sa.create_engine(sa.URL.create("sqlite", database=str(fresh)))
    rows = _Company(random.Random(SEED), today).rows()
    with engine.begin() as connection:
        for each in OBJECTS:
            each.table.create(connection)
            connection.execute(each.table.insert(), rows[each.name])
    engine.dispose()
    fresh.replace(path)


class _Company:
    """Everybody and everything in the sample, drawn one after another from one source of chance.

    Time has an order: an account is older than its contacts, they are older than their cases, and nothing is younger
    than the beginning of today.
    """

    def __init__(self, chance: random.Random, today: dt.date) -> None:
        self._chance, self._today = chance, today
        self._end = dt.datetime.combine(today, dt.time())
        self._start = self._end - dt.timedelta(days=640)

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        users = [self._user(n) for n in range(12)]
        accounts = [self._account(n, users) for n in range(400)]
        contacts = [self._contact(accounts, users) for _ in range(900)]
        opportunities = [self._opportunity(accounts, users) for _ in range(700)]
        cases = sorted((self._case(contacts, users) for _ in range(600)), key=lambda case: case["CreatedDate"])
        for n, case in enumerate(cases):
            case["CaseNumber"] = f"{n + 1000:08}"
        leads = [self._lead(users) for _ in range(500)]
        tasks = [self._task(contacts, users) for _ in range(900)]
        return {
            "User": users, "Account": accounts, "Contact": contacts, "Opportunity": opportunities, "Case": cases,
            "Lead": leads, "Task": tasks,
        }  # fmt: skip

    def _new(self, kind: str, users: list[dict[str, Any]], after: dt.datetime | None = None) -> dict[str, Any]:
        """What every record has. It was made at some time ``after``, and changed at some time after that."""
        created = self._between(after or self._start, self._end)
        made: dict[str, Any] = {
            "Id": ids.make(PREFIXES[kind], self._chance.randbytes(9)),
            "CreatedDate": created,
            "LastModifiedDate": self._between(created, self._end),
        }
        return made | ({"OwnerId": self._chance.choice(users)["Id"]} if users else {})

    def _between(self, first: dt.datetime, last: dt.datetime) -> dt.datetime:
        return (first + (last - first) * self._chance.random()).replace(microsecond=0)

    def _person(self) -> dict[str, Any]:
        first, last = self._chance.choice(FIRST), self._chance.choice(LAST)
        return {"FirstName": first, "LastName": last, "Name": f"{first} {last}"}

    def _phone(self) -> str:
        return f"+1 555 {self._chance.randrange(100, 1000)} {self._chance.randrange(1000, 10000)}"

    def _user(self, n: int) -> dict[str, Any]:
        who = self._person()
        email = f"{who['FirstName']}.{who['LastName']}{n}@acme.example".lower()
        department = self._chance.choice(("Sales", "Service", "Marketing"))
        joined = {"CreatedDate": self._start - dt.timedelta(days=self._chance.randrange(1, 900))}
        return self._new("User", []) | joined | who | {
            "Username": email, "Email": email, "Title": "Account Executive", "Department": department, "IsActive": n % 6 != 5,
        }  # fmt: skip

    def _account(self, n: int, users: list[dict[str, Any]]) -> dict[str, Any]:
        stem, trade = STEMS[n % len(STEMS)], TRADES[(n // len(STEMS)) % len(TRADES)]
        suffix = "" if n < len(STEMS) * len(TRADES) else " Group"
        host = f"{stem}-{trade}{suffix.replace(' ', '-')}.example".lower()
        name, (city, country) = f"{stem} {trade}{suffix}", self._chance.choice(PLACES)
        return self._new("Account", users) | {
            "Name": name, "Type": self._chance.choice(("Customer", "Prospect", "Partner")),
            "Industry": self._chance.choice(INDUSTRIES), "Phone": self._phone(),
            "Website": f"https://{host}", "BillingStreet": f"{self._chance.randrange(1, 200)} Main Street",
            "BillingCity": city, "BillingCountry": country, "AnnualRevenue": float(self._chance.randrange(200, 90_000) * 1000),
            "NumberOfEmployees": self._chance.randrange(5, 9000), "Rating": self._chance.choice(("Hot", "Warm", "Cold", None)),
            "Description": f"{trade} company in {city}.",
        }  # fmt: skip

    def _contact(self, accounts: list[dict[str, Any]], users: list[dict[str, Any]]) -> dict[str, Any]:
        who, account = self._person(), self._chance.choice(accounts)
        host = account["Website"].removeprefix("https://")
        return self._new("Contact", users, account["CreatedDate"]) | who | {
            "Title": self._chance.choice(("Buyer", "CFO", "Head of IT", "Plant Manager", "Owner")),
            "Department": self._chance.choice(("Purchasing", "Finance", "IT", "Operations")),
            "Email": f"{who['FirstName']}.{who['LastName']}@{host}".lower(), "Phone": self._phone(),
            "MailingCity": account["BillingCity"], "MailingCountry": account["BillingCountry"],
            "AccountId": account["Id"], "LeadSource": self._chance.choice(SOURCES),
        }  # fmt: skip

    def _opportunity(self, accounts: list[dict[str, Any]], users: list[dict[str, Any]]) -> dict[str, Any]:
        account, (stage, probability) = self._chance.choice(accounts), self._chance.choice(STAGES)
        is_closed = stage.startswith("Closed")
        made = self._new("Opportunity", users, account["CreatedDate"])
        closes = self._today + dt.timedelta(days=self._chance.randrange(-20, 200))
        if is_closed:  # the day of its last change
            closes = made["LastModifiedDate"].date()
        return made | {
            "Name": f"{account['Name']} - {self._chance.choice(('New Business', 'Renewal', 'Upgrade'))}",
            "StageName": stage, "Amount": float(self._chance.randrange(1, 400) * 1000), "Probability": float(probability),
            "CloseDate": closes, "IsClosed": is_closed, "IsWon": stage == "Closed Won",
            "Type": self._chance.choice(("New Customer", "Existing Customer")),
            "NextStep": None if is_closed else self._chance.choice(ERRANDS), "AccountId": account["Id"],
        }  # fmt: skip

    def _case(self, contacts: list[dict[str, Any]], users: list[dict[str, Any]]) -> dict[str, Any]:
        contact = self._chance.choice(contacts)
        made = self._new("Case", users, contact["CreatedDate"])
        status, problem = self._chance.choice(("New", "Working", "Escalated", "Closed")), self._chance.choice(PROBLEMS)
        is_closed = status == "Closed"
        return made | {
            "Subject": problem, "Description": f"{contact['Name']} reports: {problem.lower()}.",
            "Status": status, "Priority": self._chance.choice(("High", "Medium", "Low")),
            "Origin": self._chance.choice(("Email", "Phone", "Web")), "IsClosed": is_closed,
            "ClosedDate": made["LastModifiedDate"] if is_closed else None, "AccountId": contact["AccountId"],
            "ContactId": contact["Id"],
        }  # fmt: skip

    def _lead(self, users: list[dict[str, Any]]) -> dict[str, Any]:
        who, (city, country) = self._person(), self._chance.choice(PLACES)
        company = f"{self._chance.choice(STEMS)} & {who['LastName']}"
        return self._new("Lead", users) | who | {
            "Company": company, "Title": self._chance.choice(("Buyer", "Owner", "CTO")),
            "Email": f"{who['FirstName']}@{who['LastName']}.example".lower(), "Phone": self._phone(), "City": city,
            "Country": country, "Status": self._chance.choice(("Open", "Contacted", "Qualified", "Unqualified")),
            "Rating": self._chance.choice(("Hot", "Warm", "Cold")), "LeadSource": self._chance.choice(SOURCES),
            "IsConverted": self._chance.random() < 0.2,
        }  # fmt: skip

    def _task(self, contacts: list[dict[str, Any]], users: list[dict[str, Any]]) -> dict[str, Any]:
        contact, is_closed = self._chance.choice(contacts), self._chance.random() < 0.4
        return self._new("Task", users, contact["CreatedDate"]) | {
            "Subject": self._chance.choice(ERRANDS), "Status": "Completed" if is_closed else "Not Started",
            "Priority": self._chance.choice(("High", "Normal")),
            "ActivityDate": self._today + dt.timedelta(days=self._chance.randrange(-60, 60)), "Description": None,
            "WhoId": contact["Id"], "WhatId": contact["AccountId"], "IsClosed": is_closed,
        }  # fmt: skip
