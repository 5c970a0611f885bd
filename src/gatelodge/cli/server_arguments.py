"""What may be typed after ``server`` about its secrets, its database and its approvals, and after ``scope``."""

import argparse
from collections.abc import Callable

from gatelodge.cli.rights_arguments import OfADeployment
from gatelodge.core import upstream_secrets

NAME = "The server's name, for example sobject-reads."


def server(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]",
    of_a_deployment: OfADeployment,
    content: Callable[[str], str],
) -> None:
    """The verbs of ``gatelodge server`` for what is kept beside a server. ``content`` reads the file of a flag."""
    secret = of_a_deployment(
        verbs.add_parser("set-secret", help="keep the secret that an upstream is given, read from the standard input")
    )
    secret.add_argument("name", metavar="NAME", help=NAME)
    secret.add_argument(
        "--kind", choices=list(upstream_secrets.KINDS), default=upstream_secrets.HEADER, help="Default: header."
    )
    secret.add_argument("--remove", action="store_true", help="Forget it, and read nothing.")
    password = of_a_deployment(
        verbs.add_parser("set-password", help="keep another password for a database, read from the standard input")
    )
    password.add_argument("name", metavar="NAME", help=NAME)
    mapping = of_a_deployment(verbs.add_parser("set-mapping", help="keep what a database's tables are called"))
    mapping.add_argument("name", metavar="NAME", help=NAME)
    mapping.add_argument(
        "--file",
        dest="mapping",
        type=content,
        required=True,
        metavar="FILE",
        help="TOML or JSON, which is tried first.",
    )
    approval = of_a_deployment(verbs.add_parser("approval", help="who is asked about calls, or a change of that"))
    approval.add_argument("name", metavar="NAME", help=NAME)
    approval.add_argument("--tool", default="", help="Of this tool alone. Default: of every tool without its own rule.")
    approval.add_argument(
        "--approvers", metavar="WHO", help="user, anyone (who may approve calls), or a permission set's API Name."
    )
    approval.add_argument("--minutes", type=int, help="How long a question waits, and a yes is good: 1 to 1440.")
    approval.add_argument(
        "--four-eyes", dest="four_eyes", action=argparse.BooleanOptionalAction, help="Nobody approves their own call."
    )
    approval.add_argument("--remove", action="store_true", help="Forget the rule.")


def scope(parser: argparse.ArgumentParser, of_a_deployment: OfADeployment) -> None:
    """``gatelodge scope``."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    of_a_deployment(verbs.add_parser("list", help="the scopes of the org's own"))
    create = of_a_deployment(verbs.add_parser("create", help="add a scope that tools can require"))
    create.add_argument("name", metavar="NAME", help="On the wire, for example crm.write.")
    create.add_argument("--label", required=True, help="What people read.")
    create.add_argument("--meaning", required=True, help="What it means, in plain words for the consent page.")
    create.add_argument(
        "--includes", action="append", default=[], metavar="NAME", help="A narrower scope; may be repeated."
    )
    delete = of_a_deployment(verbs.add_parser("delete", help="remove a scope; it opens nothing any more"))
    delete.add_argument("name", metavar="NAME", help="On the wire.")
