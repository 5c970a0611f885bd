"""The words of pages: in the reader's language, with nothing left in another."""

import re
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatelodge import words
from gatelodge.core import users
from gatelodge.core.apps import registry
from gatelodge.core.apps.presets import PRESETS
from gatelodge.web import moments
from tests.generated import MANY
from tests.house import House
from tests.oauth.scenes import add_app, person
from tests.people import Person, form
from tests.requirements import requirement
from tests.setup import offices, places
from tests.setup.test_every_route import GETS, ON_THEIR_WAY, filled
from tests.words import catalogue, forms
from tests.words.reading import Reading

GERMAN, ACCENTED = {"Accept-Language": "de-AT,en;q=0.5"}, {"Accept-Language": words.PSEUDO}
DATA = re.compile(
    r"[A-Za-z]+(?:_[A-Za-z]+)+|\{.*\}|SObject \w+|\S+@\S+|https?://\S+|python-\S+|[A-Z]{2}\d+|[a-z]+[A-Z]\w*|find"
    r"|\w{3} \d+, \d{4}.*|Administrator|No MCP Access|Standard User|\S+-meta\.xml|sobject-\w+|STANDARD"
    r"|Account|Contact|Opportunity|Amount|Case|Task|User|Lead"
)
"""Names, addresses, files, objects and dates as pages show them."""
LETTERS = re.compile(r"[AEIOUYaceinosuyz]")
TRACE = re.compile(r"\b01[0-9A-HJKMNP-TV-Z]{24}\b")
PLACES = re.compile(r"\{[^{}]*\}|%\(\w+\)[sd]")


@pytest.mark.parametrize("language", catalogue.languages())
@requirement("words:translated")
def test_every_text_that_a_page_may_say_is_translated(language: str):
    assert catalogue.untranslated(catalogue.updated(language)) == []


@pytest.mark.parametrize("language", catalogue.languages())
@requirement("words:translated")
def test_the_translations_are_of_the_texts_that_the_code_has_and_ship_compiled(language: str):
    path = catalogue.po_file(language)
    again = ".venv/bin/python -m tests.words.catalogue brings them up to date"
    assert path.read_bytes() == catalogue.written(catalogue.updated(language)), again
    assert path.with_suffix(".mo").read_bytes() == catalogue.compiled(catalogue.translated(language)), again
    assert language in words.LANGUAGES


@pytest.mark.parametrize("language", catalogue.languages())
@requirement("words:translated")
def test_a_translation_has_the_places_for_values_that_its_text_has(language: str):
    for message in catalogue.translated(language):
        if not message.id:
            continue
        text = message.id if isinstance(message.id, str) else message.id[1]
        said = (message.string,) if isinstance(message.string, str) else message.string
        for each in said:
            assert sorted(PLACES.findall(each)) == sorted(PLACES.findall(text)), text


@requirement("words:language")
def test_a_browsers_language_is_spoken_until_somebody_signs_in_who_chose_another(house: House):
    front = house.client()
    page = front.get("/login", headers=GERMAN).text
    assert '<html lang="de"' in page and "Anmelden" in page
    assert '<html lang="en"' in front.get("/login", headers={"Accept-Language": "fr"}).text
    who = offices.sign_in(person(house, 0))
    assert '<html lang="de"' in who.front.get("/setup", headers=GERMAN).text
    fields = form(who.front.get("/setup/preferences"), "/setup/preferences") | {"time_zone": "UTC"}
    who.front.post("/setup/preferences", data=fields | {"language": "en"})
    assert '<html lang="en"' in who.front.get("/setup", headers=GERMAN).text
    who.front.post("/setup/preferences", data=fields | {"language": "de"})
    page = who.front.get("/setup").text
    assert '<html lang="de"' in page and "Startseite" in page


@requirement("words:language")
def test_a_rule_that_refuses_inside_a_change_speaks_the_readers_language(house_on: House):
    async def asked() -> str:
        words.speak("de")
        return await house_on.site.store.run(_refusing)

    def _refusing() -> Any:
        yield from users.rename(house_on.org.id, "nobody", "nobody")
        return words._("Not found")

    assert house_on.run(asked()) == "Nicht gefunden"


@requirement("words:language")
def test_a_refusal_is_told_in_the_language_of_whoever_reads_it_and_to_the_app_in_english(house_on: House):
    who, client = person(house_on, 0), add_app(house_on)
    near = client.authorize_url(redirect_uri="https://client.example/callback/")
    page = who.front.get(near, headers=GERMAN)
    assert "Die Callback-URL stimmt nicht überein" in page.text and "ein Schrägstrich am Ende" in page.text
    trace = TRACE.findall(page.text)[0]
    offices.sign_in(who)
    told = who.front.get(f"/setup/errors/{trace}").text
    assert "The callback URL doesn&#39;t match" in told and "stimmt nicht" not in told
    assert "stimmt nicht" in who.front.get(f"/setup/errors/{trace}", headers=GERMAN).text
    noor = person(house_on, 2)
    asked = noor.front.get(noor.front.get(client.authorize_url(), headers=GERMAN).headers["location"], headers=GERMAN)
    fields = form(asked, "/flow") | {"username": noor.username, "password": noor.password}
    page = noor.front.post(str(asked.url), data=fields, headers=GERMAN)
    while page.is_redirect:
        page = noor.front.get(page.headers["location"], headers=GERMAN)
    said = offices.words(page)
    assert "Kein Zugriff" in said and "has no permission set that allows MCP servers" in said


@requirement("words:language")
def test_a_servers_health_and_a_providers_refusal_are_kept_as_reasons_and_told_in_each_readers_words(house: House):
    robin = offices.sign_in(person(house, 0))
    made = {"kind": "upstream", "source": "https://127.0.0.1:9/mcp", "label": "Unread", "name": "unread"}
    assert offices.send(robin, "/setup/mcp-servers/new?kind=upstream", **made).status_code == 303
    for language, said in ((GERMAN, "darf nicht gefragt werden"), ({}, "may not be asked")):
        page = offices.words(robin.front.get("/setup/mcp-servers/unread", headers=language))
        assert said in page and "127.0.0.1" in page, page[-800:]
    offered = {"issuer": "https://127.0.0.1:9", "name": "idp", "label": "Idp", "client_id": "c", "act": "test"}
    send = offices.sent(robin.front.get("/setup/identity-providers/new").text, **offered)
    refused = robin.front.post("/setup/identity-providers/new", data=send, headers=GERMAN)
    assert "keine öffentliche Adresse" in offices.errors(refused)["issuer"]


@requirement("words:language")
def test_a_link_that_somebody_is_to_open_is_whole_in_a_reason_and_what_strangers_said_is_cut():
    link = f"https://gate.example.com/{'deep/' * 100}setup/upstreams/crm"
    why = words.reason("open {url}: {said}", url=words.verbatim(link), said="x" * 1000)
    assert str(why) == f"open {link}: {'x' * words.LONGEST_VALUE}" == why.here()


@requirement("words:language")
def test_what_programs_read_stays_english_whatever_the_browser_asks_for(house: House):
    client = add_app(house)
    answer = client.front.post("/services/oauth2/token", data={"grant_type": "nothing"}, headers=GERMAN)
    plain = client.front.post("/services/oauth2/token", data={"grant_type": "nothing"})
    assert answer.json() == plain.json()


@requirement("words:language")
def test_quick_find_and_the_search_know_pages_by_german_words_and_still_by_english_ones(house: House):
    who = offices.sign_in(person(house, 0))
    for wanted in ("verbraucherschlüssel", "redirect uri", "client-app"):
        page = offices.words(who.front.get("/setup/search", params={"q": wanted}, headers=GERMAN))
        assert "Manager für Externe Client-Apps" in page, wanted


@requirement("words:times")
def test_times_and_numbers_are_the_readers_own_and_name_their_zone():
    at = 1_790_000_000  # 2026-09-21, 13:33:20 UTC
    words.speak("en", "America/New_York")
    assert moments.in_full(at) == "Sep 21, 2026, 10:13 (America/New_York)"
    assert moments.moment(at, at + 7200).relative == "2 hours ago" and moments.number(12408) == "12,408"
    words.speak("de", "Asia/Kathmandu")
    assert moments.in_full(at) == "21.09.2026, 19:58 (Asia/Kathmandu)"
    assert moments.moment(at, at + 7200).relative == "vor 2 Stunden" and moments.number(12408) == "12.408"
    assert moments.zone_in_words(at) == "Asia/Kathmandu (UTC+5:45)"
    words.speak("en", "Mars/Olympus")
    assert moments.in_full(at).endswith("(UTC)")
    words.speak("en", "UTC")


@MANY
@given(st.text(max_size=120))
@requirement("words:language")
def test_whatever_a_browser_says_it_accepts_one_of_our_languages_is_spoken(accepted: str):
    assert words.language_of(accepted) in {*words.LANGUAGES, words.PSEUDO}


def untranslated(house: House, text: str) -> list[str]:
    """The texts of a page in accented English that are plain English, and are no data."""
    data = {"Gatelodge", "Ctrl", "K", "/", *(preset.label for preset in PRESETS if preset.name != "other")}
    data |= {preset.tile for preset in PRESETS} | set(words.LANGUAGES.values()) | set(moments.zones())
    known = [
        house.org.label,
        house.issuer,
        house.org.kind,
        *(value for user in house.told.users for value in user.values()),
    ]
    apps = house.read(registry.in_order, house.org.id)
    known += [
        *(app.settings.description for app in apps if app.settings.description),
        "SObject Reads",
        "sobject-reads",
        "GL-",
        "UTC",
        *(user.name for user in house.read(users.in_order, house.org.id)),
    ]
    found: list[str] = []
    for said in Reading(text).texts:
        rest = said
        for each in sorted(known, key=len, reverse=True):
            rest = rest.replace(each, "")
        is_said = (
            said in data
            or DATA.fullmatch(said)
            or not LETTERS.search(rest)
            or re.fullmatch(r"[A-Z]{1,2}", rest.strip())
        )
        if not is_said and rest.isascii():
            found.append(said)
    return found


@requirement("words:nothing-left-out")
def test_no_page_says_anything_that_does_not_come_through_gettext(house: House):
    who, stranger = offices.sign_in(person(house, 0)), person(house, 1)
    left_out: dict[str, list[str]] = {}
    for path in GETS:
        if path in ON_THEIR_WAY:
            continue
        reader = stranger if path.startswith(("/login", "/flow", "/errors")) or path == places.SIGN_OUT else who
        page = reader.front.get(filled(house, path), headers=ACCENTED)
        if left := untranslated(house, page.text):
            left_out[path] = left
    assert left_out == {}, left_out


def sent(reader: Person, asked: forms.Sent) -> httpx2.Response:
    """The answer to a form."""
    given = {name: [value for key, value in asked.fields if key == name] for name, _value in asked.fields}
    if asked.method == "GET":
        return reader.front.get(asked.path, params=given, headers=ACCENTED)
    return reader.front.post(asked.path, data=given, headers=ACCENTED)


@requirement("words:nothing-left-out")
def test_no_form_says_what_is_wrong_with_it_in_words_that_do_not_come_through_gettext(house: House):
    who, stranger = offices.sign_in(person(house, 0)), person(house, 1)
    left_out: dict[str, list[str]] = {}
    refusals = 0
    for path in GETS:
        reader = stranger if path.startswith(("/login", "/flow")) else who
        target = filled(house, path)
        for asked in forms.ways(reader.front.get(target, headers=ACCENTED).text, target):
            page = sent(reader, asked)
            refusals += page.status_code in range(400, 500)
            if left := untranslated(house, page.text):
                left_out[f"{path} {asked.fields}"] = left
    assert left_out == {} and refusals > len(GETS) // 2, (refusals, left_out)


@requirement("words:nothing-left-out")
def test_no_refusal_of_a_flow_is_told_in_words_that_do_not_come_through_gettext(house: House):
    who, client = person(house, 0), add_app(house)
    turned = [
        client.authorize_url(**changes)
        for changes in (
            {"client_id": "nobody"}, {"client_id": "3MVG9" + "x" * 80}, {"client_id": None},
            {"redirect_uri": "https://client.example/callback/"}, {"redirect_uri": "https://else.example/"},
        )
    ]  # fmt: skip
    others = ["/flow?request=nothing", "/login/reset?token=none", "/login/callback?state=x", "/setup/connect/BCDF-GHJK"]
    others += ["/services/auth/idp/oidc/logout?client_id=nobody", "/errors/GL-1", "/setup/apps?after=%ff"]
    offices.sign_in(who)
    for path in (*turned, *others):
        page = who.front.get(path, headers=ACCENTED)
        assert page.status_code != 303, path
        assert untranslated(house, page.text) == [], path
