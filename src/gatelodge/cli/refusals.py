"""What a command refuses besides the rules of the core."""

from gatelodge.core.errors import Refused


class NotFound(Refused):
    """The thing that the command names does not exist."""
