"""What every verb of the command line is."""

from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar

from gatelodge.core import audit
from gatelodge.core.errors import Refused
from gatelodge.core.operation import Operation
from gatelodge.core.orgs import Org
from gatelodge.web.site import Site

P = ParamSpec("P")
T = TypeVar("T")

ACTOR = "the command line"
"""Whom the audit names for what was done by a command."""


class NotFound(Refused):
    """The thing that the command names does not exist."""


WITHOUT_URL = "http://localhost"
"""What stands for the deployment's public URL in a command that doesn't know it."""


def knows_its_url(site: Site) -> bool:
    """Whether absolute URLs made here are the deployment's: a command of its own may not know the public URL."""
    return site.config.public_url != WITHOUT_URL


async def run_audited(
    site: Site,
    org: Org,
    tag: str,
    subject: str,
    details: dict[str, object],
    operation: Callable[P, Operation[T]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """Run an operation that tells the audit nothing itself, with its event in the same transaction."""

    def work() -> Operation[T]:
        done = operation(*args, **kwargs)
        return (yield from audit.beside(done, org.id, site.clock.now_ms(), ACTOR, tag, subject, **details))

    return await site.store.run(work)


Verb = Callable[[Site, Org, dict[str, Any]], Awaitable[object]]
"""Does one thing in one org with the command's arguments; its answer is printed."""
