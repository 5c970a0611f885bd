"""Who acts on a page of administrators."""

from gatelodge.core.administrators import Actor
from gatelodge.core.permissions import SYSTEM
from gatelodge.setup.frame import Visit


def actor_of(visit: Visit) -> Actor:
    """The person at this page, by id, and which system permissions they have themselves."""
    may = tuple(each for each in SYSTEM if visit.access.may(each))
    return Actor(name=visit.session.user.id, system=may)
