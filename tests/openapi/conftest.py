"""The same windows as for the rest of Setup."""

from tests.setup.conftest import org, page, robin

__all__ = ["org", "page", "robin"]
