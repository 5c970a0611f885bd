"""Signing in with a name and a password, as Setup and the flow's pages both do."""

from gatelodge.core import users
from gatelodge.core.orgs import Org
from gatelodge.web.site import Site

LONGEST_PASSWORD = 1024


async def try_password(site: Site, org: Org, username: str, password: str) -> str | None:
    """The id of the active user with this name and password, or None. An unknown name takes as long as a wrong
    password, and both get the same answer. Raises ``Unavailable`` when too many sign-ins wait.
    """
    found = await site.store.read(users.find_credential, org.id, username[:256])
    stored = found.password_hash if found and found.is_active else None
    is_right = await site.passwords.is_right(stored, password[:LONGEST_PASSWORD])
    return found.user_id if found and is_right else None
