"""What every verb of the command line is."""

from collections.abc import Awaitable, Callable
from typing import Any

from gatelodge.core.errors import Refused
from gatelodge.core.orgs import Org
from gatelodge.web.site import Site

ACTOR = "the command line"
"""Whom the audit names for what was done by a command."""


class NotFound(Refused):
    """The thing that the command names does not exist."""


Verb = Callable[[Site, Org, dict[str, Any]], Awaitable[object]]
"""Does one thing in one org with the command's arguments; its answer is printed."""
