"""An org is a tenant and an OAuth issuer (decision 0003). The first answers at the public URL, others at /o/<name>."""

import re
from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec

from gatelodge.core import addresses, audit, keys
from gatelodge.core import scopes as scope_words
from gatelodge.core.errors import Invalid, Refused
from gatelodge.core.keys import ALGORITHMS, SigningKey
from gatelodge.core.operation import Operation, announce, execute, many, number, one, text
from gatelodge.core.org_options import AppRules, Preferences
from gatelodge.words import _

PRODUCTION = "production"
DEVELOPER_HUB = "developer hub"
SANDBOX = "sandbox"
SCRATCH = "scratch"
KINDS = (PRODUCTION, DEVELOPER_HUB, SANDBOX, SCRATCH)

NAME_SHAPE = re.compile(r"[a-z][a-z0-9-]{0,38}[a-z0-9]")
MOST_ORGS = 1000
LONGEST_WINDOW = 120
LONGEST_LABEL = 80
CHANGED_MEANWHILE = (
    "The org's settings were changed by someone else since you opened them. Reload to see their version."
)


class Org(msgspec.Struct, frozen=True, kw_only=True):
    """One tenant. ``name`` is "" for the first org; ``refresh_window`` is in seconds (decision 0006);
    ``trusted_ranges`` are networks from which the apps that enforce IP restrictions may be used. ``revision`` counts the
    changes that administrators made to the org's own settings.

    ``issuer`` is a plain string, compared byte for byte (RFC 8414 §3.3); ``path`` is the part of it after the host,
    with no slash at its end.
    """

    id: str
    name: str
    label: str
    kind: str
    refresh_window: int
    signing_algorithm: str = "ES256"
    trusted_ranges: tuple[str, ...] = ()
    preferences: Preferences = Preferences()
    app_rules: AppRules = AppRules()
    revision: int = 1
    issuer: str
    path: str
    custom_scopes: scope_words.Custom = ()


def make(public_url: str) -> Callable[..., Org]:
    """The maker of ``Org`` values for a deployment whose public URL this is."""
    base = public_url.rstrip("/")

    def made(
        *, name: str, trusted_ranges: str, preferences: str, app_rules: str, custom_scopes: str, **columns: object
    ) -> Org:
        issuer = f"{base}/o/{name}" if name else base
        made_here = {
            "custom_scopes": msgspec.json.decode(custom_scopes),
            "issuer": issuer,
            "path": urlsplit(issuer).path,
            "trusted_ranges": trusted_ranges.split(),
            "preferences": msgspec.json.decode(preferences),
            "app_rules": msgspec.json.decode(app_rules),
        }
        return msgspec.convert({"name": name, **made_here, **columns}, Org)

    return made


def all_orgs(public_url: str) -> Operation[list[Org]]:
    """Every org of the deployment, the first one first."""
    return (
        yield from many(
            "SELECT id, name, label, kind, refresh_window, signing_algorithm, trusted_ranges, preferences, app_rules,"
            " custom_scopes, revision FROM orgs ORDER BY name LIMIT :limit",
            make(public_url),
            limit=MOST_ORGS,
        )
    )


class Summary(msgspec.Struct, frozen=True):
    """An org in a few words."""

    id: str
    name: str
    label: str
    kind: str


def summaries() -> Operation[list[Summary]]:
    """Every org in a few words, also of a database with an older schema than this program's."""
    return (
        yield from many("SELECT id, name, label, kind FROM orgs ORDER BY name LIMIT :limit", Summary, limit=MOST_ORGS)
    )


def create(fresh: Org, now: int) -> Operation[None]:
    """Make an org. Raises ``Refused`` when the name is taken or has another shape."""
    name, kind = fresh.name, fresh.kind
    if name and not NAME_SHAPE.fullmatch(name):
        raise Refused(
            _("the org name {name!r} must be 2 to 40 of a-z, 0-9 and -, beginning with a letter").format(name=name),
            "name",
        )
    if kind not in KINDS:
        raise Refused(_("the kind {kind!r} is not one of: {kinds}").format(kind=kind, kinds=", ".join(KINDS)), "kind")
    made = yield from one(
        "INSERT INTO orgs (id, name, label, kind, refresh_window, signing_algorithm, trusted_ranges, created_at)"
        " VALUES (:id, :name, :label, :kind, :refresh_window, :signing_algorithm, :trusted_ranges, :now)"
        " ON CONFLICT (name) DO NOTHING RETURNING id",
        str_id,
        id=fresh.id,
        name=name,
        label=fresh.label,
        kind=kind,
        refresh_window=fresh.refresh_window,
        signing_algorithm=fresh.signing_algorithm,
        trusted_ranges="\n".join(fresh.trusted_ranges),
        now=now,
    )
    if made is None:
        raise Refused(_("an org named {name!r} exists already; choose another name").format(name=name), "name")
    yield from announce(fresh.id, "org", fresh.id)


def str_id(id: str) -> str:
    """For statements that return only an id."""
    return id


def rotate_key(org: Org, fresh: SigningKey, *, longest_token: int, actor: str, now_ms: int) -> Operation[None]:
    """The org signs with a fresh key from its time on, and with the algorithm of that key from now on for keys to come.

    ``longest_token`` is how many seconds a token may outlive the signing of it. Raises ``Refused``.
    """
    yield from keys.rotate(fresh, longest_token=longest_token)
    if fresh.algorithm != org.signing_algorithm:
        # This one column: ``org`` may be older than what an administrator saved just now.
        yield from execute(
            "UPDATE orgs SET signing_algorithm = :algorithm, revision = revision + 1 WHERE id = :org_id",
            algorithm=fresh.algorithm,
            org_id=org.id,
        )
        yield from announce(org.id, "org", org.id)
    said: dict[str, object] = {"algorithm": fresh.algorithm, "signs_from": fresh.signs_from}
    yield from audit.record(org.id, now_ms, actor, "org:signing_key:rotate", fresh.kid, said)


def check(org: Org) -> None:
    """Raises ``Invalid`` with one sentence for each of the org's own settings that breaks a rule."""
    found: dict[str, str] = {}
    if not org.label:
        found["label"] = _("The org needs a name; people see it when they sign in.")
    elif len(org.label) > LONGEST_LABEL or not org.label.isprintable():
        found["label"] = _("The name is at most {longest_label} characters of plain text; this one has {n}.").format(
            longest_label=LONGEST_LABEL, n=len(org.label)
        )
    if not 0 <= org.refresh_window <= LONGEST_WINDOW:
        found["refresh_window"] = _("The refresh window is a whole number of seconds, 0 to {longest_window}.").format(
            longest_window=LONGEST_WINDOW
        )
    if org.signing_algorithm not in ALGORITHMS:
        found["signing_algorithm"] = _("{signing_algorithm!r:.60} is not one of: {algorithms}.").format(
            signing_algorithm=org.signing_algorithm, algorithms=", ".join(ALGORITHMS)
        )
    if problem := addresses.problem(org.trusted_ranges):
        found["trusted_ranges"] = problem
    if found:
        raise Invalid(found)


def change(changed: Org) -> Operation[None]:
    """Write an org's own settings: its label, windows, ranges, algorithm, preferences and rules for apps (decision 0006:
    0 to 120 seconds). One UPDATE decides between two administrators: ``changed.revision`` is the one that was read.

    Raises ``Invalid``, and ``Refused`` when the settings were changed meanwhile.
    """
    check(changed)
    saved = yield from one(
        "UPDATE orgs SET label = :label, refresh_window = :refresh_window, signing_algorithm = :signing_algorithm,"
        " trusted_ranges = :trusted_ranges, preferences = :preferences, app_rules = :app_rules,"
        " revision = revision + 1 WHERE id = :org_id AND revision = :revision RETURNING id",
        str_id,
        label=changed.label,
        refresh_window=changed.refresh_window,
        signing_algorithm=changed.signing_algorithm,
        trusted_ranges="\n".join(changed.trusted_ranges),
        preferences=msgspec.json.encode(changed.preferences).decode(),
        app_rules=msgspec.json.encode(changed.app_rules).decode(),
        org_id=changed.id,
        revision=changed.revision,
    )
    if saved is None:
        raise Refused(CHANGED_MEANWHILE)
    yield from announce(changed.id, "org", changed.id)


def own_scopes(org_id: str) -> Operation[scope_words.Custom]:
    """The scopes of the org's own."""
    kept = yield from one("SELECT custom_scopes AS value FROM orgs WHERE id = :org_id", text, org_id=org_id)
    return msgspec.json.decode(kept or "[]", type=scope_words.Custom)


def change_scopes(
    org_id: str, before: scope_words.Custom, after: scope_words.Custom, *, actor: str, now_ms: int
) -> Operation[None]:
    """Save the org's own scopes, everywhere within a second. Raises ``Refused``, also when somebody else was faster."""
    scope_words.check_custom(after)
    old, new = (msgspec.json.encode(each).decode() for each in (before, after))
    saved = yield from one(
        "UPDATE orgs SET custom_scopes = :after WHERE id = :org_id AND custom_scopes = :before RETURNING id",
        str_id,
        org_id=org_id,
        before=old,
        after=new,
    )
    if saved is None:
        raise Refused(_("The scopes were changed by somebody else meanwhile: nothing is saved. Look at them again."))
    told: dict[str, object] = {"from": [each.name for each in before], "to": [each.name for each in after]}
    yield from audit.record(org_id, now_ms, actor, "org:scopes:change", org_id, told)
    yield from announce(org_id, "org", org_id)


def app_rules(org_id: str) -> Operation[AppRules]:
    """What holds for every app of the org, as it is written now."""
    found = yield from one("SELECT app_rules AS value FROM orgs WHERE id = :org_id", text, org_id=org_id)
    return msgspec.json.decode(found or "{}", type=AppRules)


def take_turn(org_id: str) -> Operation[None]:
    """Whoever asks here goes on after the one who asked before has finished: a rule about what is left in the org as a
    whole can be looked at, and is still so when this transaction ends.
    """
    _ = yield from one(
        "UPDATE orgs SET revision = revision WHERE id = :org_id RETURNING revision AS n", number, org_id=org_id
    )
