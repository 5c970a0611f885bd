"""What may be typed: one parser, whose flags of the node come from ``config.options`` with their help."""

import argparse
from pathlib import Path

from gatelodge import __version__
from gatelodge.cli import rights_arguments, server_arguments
from gatelodge.config import Option, options
from gatelodge.core import server_kinds, server_terms
from gatelodge.core.apps import settings
from gatelodge.core.apps.fields import Field
from gatelodge.core.apps.policies import LABELS

DEV_ONLY = ("port", "allow_command")
SERVE_ONLY = ("bind", "database", "master_key_file", "trusted_proxy", "node_name")
SAID = {"api_name": "Default: made from the name.", "scopes": "Default: mcp_api and refresh_token."}
"""What the help of a flag of Settings says in place of the form's words."""


def parse(argv: list[str]) -> argparse.Namespace:
    """The arguments of one call. Exits with code 2 and the usage when they make no sense."""
    return parser().parse_args(argv)


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(prog="gatelodge", description="A self-hosted org for third-party MCP clients.")
    top.add_argument("--version", action="version", version=f"gatelodge {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    dev = commands.add_parser("dev", help="start a development org on this machine, with users, data and apps")
    serve = commands.add_parser("serve", help="start a node of a production deployment")
    for each in options():
        if each.name not in SERVE_ONLY:
            _flag(dev, each)
        if each.name not in DEV_ONLY:
            _flag(serve, each)
    for started in (dev, serve):
        started.add_argument("--config", metavar="FILE", help="Read options from this TOML file.")
    dev.add_argument("--json", action="store_true", help="Print everything as one JSON object on the first line.")
    _app(commands.add_parser("app", help="External Client Apps"))
    _user(commands.add_parser("user", help="users of the org"))
    _org(commands.add_parser("org", help="orgs of the deployment"))
    _server(commands.add_parser("server", help="MCP servers of the org"))
    server_arguments.scope(commands.add_parser("scope", help="OAuth scopes of the org's own"), _of_a_deployment)
    _audit(commands.add_parser("audit", help="what is written down: checked, exported, and its head kept elsewhere"))
    _keys(commands.add_parser("keys", help="the org's signing keys"))
    permission_set = commands.add_parser("permission-set", help="what users may do, and which records they reach")
    rights_arguments.permission_set(permission_set, _of_a_deployment)
    usage = commands.add_parser("usage", help="which apps act for users, and ending that")
    rights_arguments.usage(usage, _of_a_deployment)
    session = commands.add_parser("session", help="browsers that are signed in to the org")
    rights_arguments.session(session, _of_a_deployment)
    _revoke(commands.add_parser("revoke", help="end all that was let in before a time, as after restoring a backup"))
    _backup(commands.add_parser("backup", help="copies of a deployment on SQLite, with its master key"))
    _identity_provider(commands.add_parser("identity-provider", help="OpenID providers whose users may sign in"))
    return top


def _flag(parser: argparse.ArgumentParser, each: Option) -> None:
    shown = f" Default: {each.default}." if each.default not in ("", ()) else ""
    kind = int if isinstance(each.default, int) else str
    parser.add_argument(
        f"--{each.name.replace('_', '-')}",
        dest=each.name,
        type=kind,
        action="append" if each.is_list else "store",
        metavar=each.name.upper(),
        help=(each.help + shown).replace("%", "%%"),
    )


def _of_a_deployment(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("--json", action="store_true", help="Print the answer as JSON.")
    parser.add_argument("--org", default="", metavar="NAME", help="The org's name. Default: the first one.")
    _deployment(parser)
    return parser


def _deployment(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", metavar="DIR", help="The data folder of the deployment. Default: .gatelodge.")
    parser.add_argument("--config", metavar="FILE", help="Read options from this TOML file.")
    parser.add_argument("--database", metavar="DATABASE", help="A SQLite file or a postgresql:// URL.")
    parser.add_argument("--master-key-file", dest="master_key_file", metavar="FILE", help="The master key's file.")


def _app(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    create = _of_a_deployment(verbs.add_parser("create", help="register an app; it is live at once"))
    create.add_argument("--preset", default="", help="A known client, for example claude-code: fills in its callbacks.")
    create.add_argument(
        "--no-preset-callbacks",
        dest="preset_callbacks",
        action="store_false",
        help="Leave out the callbacks that the preset would fill in.",
    )
    for field in settings.FIELDS:
        _setting(create, field)
    _of_a_deployment(verbs.add_parser("list", help="the org's apps"))
    display = _of_a_deployment(verbs.add_parser("display", help="one app with its consumer key"))
    display.add_argument("api_name", metavar="API_NAME", help="The app's API Name, in any case.")
    _life(verbs)
    policies = _of_a_deployment(verbs.add_parser("policies", help="an app's policies, or a change of some of them"))
    policies.add_argument("api_name", metavar="API_NAME", help="The app's API Name, in any case.")
    policies.add_argument(
        "--set",
        dest="changes",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=f"Lists are written with commas; mcp_servers=* means every active one, mcp_tools=* every one that is on. Names: {', '.join(LABELS)}.",
    )
    connected = _of_a_deployment(
        verbs.add_parser(
            "import-connected", help="know a Connected App's key, so that its refusal says what it is and what to do"
        )
    )
    connected.add_argument("file", nargs="?", default="", metavar="FILE", help="Its .connectedApp-meta.xml file.")
    connected.add_argument("--name", default="", help="Its name. Default: the file's label.")
    connected.add_argument(
        "--consumer-key", dest="consumer_key", default="", metavar="KEY", help="Default: the one in the file."
    )


def _life(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    delete = _of_a_deployment(verbs.add_parser("delete", help="delete an app; it can be restored for 30 days"))
    delete.add_argument("api_name", metavar="API_NAME", help="The app's API Name, in any case.")
    delete.add_argument("--yes", action="store_true", help="Also when it was used in the last 30 days.")
    restore = _of_a_deployment(verbs.add_parser("restore", help="bring a deleted app back; its users connect anew"))
    restore.add_argument("api_name", metavar="API_NAME", help="The deleted app's API Name, in any case.")
    connect = _of_a_deployment(verbs.add_parser("connect", help="how a client is connected to an app, step by step"))
    connect.add_argument("api_name", metavar="API_NAME", help="The app's API Name, in any case.")
    connect.add_argument("--client", default="", help="A known client. Default: the one that the app was made for.")


def _setting(parser: argparse.ArgumentParser, field: Field) -> None:
    """The flag of one field of Settings. What isn't given is None, so that a preset or the default can fill it in."""
    flag, more = field.flag, SAID.get(field.name, "")
    words = f"{field.label}. {more or field.help}".replace("%", "%%").strip()
    is_required = field.name in ("label", "contact_email")
    match field.kind:
        case "flag":
            action = argparse.BooleanOptionalAction
            parser.add_argument(flag, dest=field.name, action=action, help=f"{words} Default: {_on_or_off(field)}.")
        case "list":
            said = f"{field.label}; may be repeated. {more}".strip()
            parser.add_argument(flag, dest=field.name, action="append", metavar=flag[2:].upper(), help=said)
        case "choice":
            values = [value for value, _ in field.choices]
            parser.add_argument(flag, dest=field.name, choices=values, help=f"{words} Default: {field.default}.")
        case "long":
            parser.add_argument(flag, dest=field.name, type=_content, metavar="FILE", help=f"{words} Read from FILE.")
        case _:
            metavar = flag[2:].upper().replace("-", "_")
            parser.add_argument(flag, dest=field.name, required=is_required, metavar=metavar, help=words)


def _on_or_off(field: Field) -> str:
    return "on" if field.default else "off"


def _content(file: str) -> str:
    try:
        return Path(file).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise argparse.ArgumentTypeError(f"{file!r} can't be read: {error}") from None


def _user(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    create = _of_a_deployment(
        verbs.add_parser("create", help="make a user; without a password one is made and shown once")
    )
    create.add_argument("--username", required=True, help="A name in the form of an e-mail address.")
    create.add_argument("--name", default="", help="The person's name. Default: the username.")
    create.add_argument("--email", default="", help="Default: the username.")
    create.add_argument("--admin", action="store_true", help="Give the permission set Administrator.")
    create.add_argument(
        "--permission-set",
        dest="permission_sets",
        action="append",
        default=[],
        metavar="API_NAME",
        help="A permission set of the org, by API Name; may be repeated.",
    )
    create.add_argument("--password-stdin", dest="password_stdin", action="store_true", help="Read the password there.")
    _of_a_deployment(verbs.add_parser("list", help="the org's users"))
    for verb, what in (
        ("deactivate", "nobody signs in as this user; their connections and sessions end at once"),
        ("activate", "let a deactivated user sign in again"),
        ("delete", "remove a user for good; their connections and sessions end at once"),
    ):
        _of_a_deployment(verbs.add_parser(verb, help=what)).add_argument(
            "username", metavar="USERNAME", help="The name that the user signs in with."
        )
    link = _of_a_deployment(verbs.add_parser("reset-link", help="a one-time link by which a user sets a new password"))
    link.add_argument("username", metavar="USERNAME", help="Whose password.")


def _org(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    create = _of_a_deployment(
        verbs.add_parser(
            "create",
            help="add an org at /o/NAME. Orgs by path share one browser origin: give orgs that do not trust each other"
            " a deployment and a domain of their own",
        )
    )
    create.add_argument("--name", required=True, help="The name in its URL: a-z, 0-9 and -.")
    create.add_argument("--label", default="", help="The name people read. Default: the name.")
    create.add_argument("--kind", default="production", help="production, developer hub, sandbox or scratch")
    _of_a_deployment(verbs.add_parser("list", help="the deployment's orgs"))


def _server(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    _of_a_deployment(verbs.add_parser("list", help="the org's MCP servers, and which web pages may call them"))
    _new_server(_of_a_deployment(verbs.add_parser("create", help="register a server; it is inactive until activated")))
    for verb, what in (
        ("display", "one server: what is decided about it, how it is reached, and how it is"),
        ("activate", "let apps call a server; live at once"),
        ("deactivate", "let no app call it any more; live at once"),
        ("refresh", "read anew what an upstream offers; what is new is off, what has changed is held back"),
        ("delete", "remove a server for good"),
        ("tools", "what a server offers, or a decision about some of it"),
        ("set", "change what is decided about a server, or how it is reached"),
    ):
        made = _of_a_deployment(verbs.add_parser(verb, help=what))
        made.add_argument("name", metavar="NAME", help="The server's name, for example sobject-reads.")
        if verb == "tools":
            _tools(made)
        if verb == "refresh":
            made.add_argument("--document", default="", help="A file with a REST API's new OpenAPI document.")
        if verb == "set":
            names = ", ".join(("label", "source", *server_terms.LABELS))
            made.add_argument(
                "changes", nargs="+", metavar="FIELD=VALUE", help=f"Lists are written with commas. Fields: {names}."
            )
    for verb, what in (
        ("allow-origin", "let web pages of this origin call a server, besides those of its own"),
        ("refuse-origin", "take that back"),
    ):
        made = _of_a_deployment(verbs.add_parser(verb, help=what))
        made.add_argument("name", metavar="NAME", help="The server's name, for example sobject-reads.")
        made.add_argument("origin", metavar="ORIGIN", help="As browsers write it, for example https://app.example.com.")
    server_arguments.server(verbs, _of_a_deployment, _content)


def _new_server(create: argparse.ArgumentParser) -> None:
    create.add_argument("name", metavar="NAME", help="The last part of its URL: a-z, 0-9 and -.")
    create.add_argument(
        "--kind", choices=list(server_kinds.KINDS), default=server_kinds.UPSTREAM, help="Default: upstream."
    )
    create.add_argument(
        "--source",
        required=True,
        help="The MCP URL, the database URL, the API's base URL, or a command as a JSON list.",
    )
    create.add_argument("--label", default="", help="What people read. Default: the name.")
    create.add_argument(
        "--document", default="", help="A REST API's OpenAPI document: a file, or a URL that is read again later."
    )
    create.add_argument("--variant", default="", help="Which tools a records server has. Default: sobject-reads.")
    create.add_argument(
        "--allow-private-addresses",
        dest="allow_private_addresses",
        action="store_true",
        help="The server stands in a private network or on this machine.",
    )


def _tools(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--definitions", action="store_true", help="Show the definitions, and the changed ones.")
    parser.add_argument("--kind", default="tool", help="tool, resource, template or prompt. Default: tool.")
    for flag, what in (
        ("on", "Let it be used, as it is defined now; may be repeated."),
        ("off", "Let it not be used; may be repeated."),
        ("accept", "Take its changed definition, which was held back; may be repeated."),
        ("ask-first", "Have a person approve each call of this tool; may be repeated."),
        ("ask-nobody", "Ask nobody about its calls any more; may be repeated."),
    ):
        parser.add_argument(f"--{flag}", action="append", default=[], metavar="ITEM", help=what)
    parser.add_argument(
        "--mark", action="append", default=[], metavar="ITEM=MARK", help="What it does: read, write or destructive."
    )
    parser.add_argument(
        "--scopes", action="append", default=[], metavar="TOOL=SCOPES", help="What a call needs besides, with commas."
    )


def _audit(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    verify = _of_a_deployment(
        verbs.add_parser(
            "verify", help="check the chains of the audit and of the calls; exits with 1 where one is broken"
        )
    )
    verify.add_argument("--head", default="", metavar="FILE", help="They must still hold the heads in this file.")
    export = _of_a_deployment(verbs.add_parser("export", help="every event, or every call, as a line of JSON"))
    export.add_argument("--calls", action="store_true", help="The calls of MCP clients rather than the audit.")
    export.add_argument("--after", type=int, default=0, metavar="N", help="From the row after this number.")
    _of_a_deployment(verbs.add_parser("head", help="the heads of both chains, sealed and signed, to be kept elsewhere"))


def _keys(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    _of_a_deployment(verbs.add_parser("list", help="the published keys, and what each of them does now"))
    rotate = _of_a_deployment(verbs.add_parser("rotate", help="publish a fresh key; it signs after ten minutes"))
    rotate.add_argument(
        "--algorithm", default="", metavar="ALGORITHM", help="ES256 or RS256, from now on. Default: as the org has it."
    )
    rotate.add_argument(
        "--now",
        action="store_true",
        help="Sign with it at once. Others may refuse its tokens until their copy of the keys is five minutes old.",
    )


def _revoke(parser: argparse.ArgumentParser) -> None:
    _of_a_deployment(parser).set_defaults(verb="")
    parser.add_argument(
        "--before", required=True, metavar="TIME", help="With its zone, for example 2026-11-24T10:00:00Z."
    )
    parser.add_argument(
        "--every-org", dest="every_org", action="store_true", help="In every org of the deployment, not only in --org."
    )


def _backup(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, what in (
        ("create", "copy database and master key into a new folder, also while the server runs"),
        ("verify", "open a copy as a start would, and say what is in it"),
        ("restore", "put a copy in the place of the deployment, which must not run"),
    ):
        made = verbs.add_parser(verb, help=what)
        made.add_argument("folder", metavar="FOLDER", help="The folder of the copy.")
        made.add_argument("--json", action="store_true", help="Print the answer as JSON.")
        if verb != "verify":
            _deployment(made)
        if verb == "restore":
            made.add_argument(
                "--force", action="store_true", help="Also where a database or key is; these are kept as *.replaced."
            )


def _identity_provider(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    add = _of_a_deployment(verbs.add_parser("add", help="let a provider's users sign in"))
    add.add_argument("--name", required=True, help="The name in its URL: a-z, 0-9 and -.")
    add.add_argument("--label", default="", help="What the button says. Default: the name.")
    add.add_argument("--issuer", required=True, metavar="URL", help="The provider's issuer, byte for byte.")
    add.add_argument("--client-id", dest="client_id", required=True, metavar="ID", help="What the provider calls us.")
    add.add_argument(
        "--client-secret-stdin", dest="client_secret_stdin", action="store_true", help="Read the client secret there."
    )
    add.add_argument("--scope", action="append", default=[], help="Besides openid. Default: profile and email.")
    _provider_rules(add)
    _of_a_deployment(verbs.add_parser("list", help="the org's identity providers"))
    remove = _of_a_deployment(verbs.add_parser("remove", help="let nobody sign in through a provider any more"))
    remove.add_argument("name", metavar="NAME", help="The name that it was added under.")


def _provider_rules(add: argparse.ArgumentParser) -> None:
    add.add_argument("--username-claim", dest="username_claim", default="email", help="Names the user. Default: email.")
    add.add_argument("--groups-claim", dest="groups_claim", default="groups", help="Default: groups.")
    add.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="VALUE=PERMISSION_SET",
        help="Who has this value in the groups claim has this permission set; may be repeated.",
    )
    add.add_argument(
        "--permission-set",
        dest="permission_sets",
        action="append",
        default=[],
        metavar="API_NAME",
        help="Everybody who signs in through it has this permission set; may be repeated.",
    )
    add.add_argument(
        "--link-by-username",
        dest="link_by_username",
        action="store_true",
        help="Trust this provider with the usernames of users who are here already.",
    )
    add.add_argument(
        "--allow-private-addresses",
        dest="allow_private_addresses",
        action="store_true",
        help="The provider stands in a private network or on this machine.",
    )
