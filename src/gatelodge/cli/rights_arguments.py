"""What may be typed after ``permission-set``, ``usage`` and ``session``."""

import argparse
from collections.abc import Callable

OfADeployment = Callable[[argparse.ArgumentParser], argparse.ArgumentParser]
"""Adds the flags by which a command finds its deployment and its org."""


def permission_set(parser: argparse.ArgumentParser, of_a_deployment: OfADeployment) -> None:
    """``gatelodge permission-set``."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    of_a_deployment(verbs.add_parser("list", help="the org's permission sets, and how many users have each"))
    for verb, what in (
        ("create", "add a permission set"),
        ("display", "what a permission set grants"),
        ("set", "change what a permission set grants, for everybody who has it; what isn't named stays"),
        ("delete", "delete a permission set that nothing names any more"),
        ("assign", "give a permission set to a user"),
        ("unassign", "take a permission set from a user"),
    ):
        made = of_a_deployment(verbs.add_parser(verb, help=what))
        made.add_argument("api_name", metavar="API_NAME", help="The permission set's API Name.")
        if verb in ("assign", "unassign"):
            made.add_argument("username", metavar="USERNAME", help="The name that the user signs in with.")
        if verb in ("create", "set"):
            _granting(made)
        if verb == "set":
            made.add_argument(
                "--without-object", dest="without_objects", action="append", default=[], metavar="OBJECT",
                help="Grant nothing of this object; may be repeated.",
            )  # fmt: skip


def _granting(made: argparse.ArgumentParser) -> None:
    made.add_argument("--label", default="", help="What people read.")
    made.add_argument(
        "--system",
        action="append",
        default=[],
        metavar="PERMISSION",
        help="A system permission, such as use_mcp_servers; may be repeated, and these take the place of all before.",
    )
    made.add_argument(
        "--object",
        dest="objects",
        action="append",
        default=[],
        metavar="OBJECT[=JSON]",
        help='To read an object; more as JSON, such as Account={"edit":true,"rows":"OwnerId = $user.id"}. May be repeated.',
    )


def usage(parser: argparse.ArgumentParser, of_a_deployment: OfADeployment) -> None:
    """``gatelodge usage``."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    listed = of_a_deployment(verbs.add_parser("list", help="how each app is used, or who uses one"))
    listed.add_argument("api_name", nargs="?", default="", metavar="API_NAME", help="The app's API Name.")
    revoke = of_a_deployment(verbs.add_parser("revoke", help="end what a user, or everybody, lets an app do"))
    revoke.add_argument("api_name", metavar="API_NAME", help="The app's API Name, in any case.")
    revoke.add_argument("--username", default="", help="Whose.")
    revoke.add_argument("--everybody", action="store_true", help="Sign everybody out of the app.")


def session(parser: argparse.ArgumentParser, of_a_deployment: OfADeployment) -> None:
    """``gatelodge session``."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    listed = of_a_deployment(verbs.add_parser("list", help="the browsers that are signed in, the newest first"))
    listed.add_argument("--username", default="", help="Whose.")
    end = of_a_deployment(verbs.add_parser("end", help="end a session, all of a user, or everybody's"))
    end.add_argument("session", nargs="?", default="", metavar="SESSION", help="A session's id.")
    end.add_argument("--username", default="", help="All sessions of this user.")
    end.add_argument("--everybody", action="store_true", help="Sign everybody out.")
