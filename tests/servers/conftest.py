"""The same running org and windows as for the rest of Setup."""

from tests.setup.conftest import org, page, plain, robin

__all__ = ["org", "page", "plain", "robin"]
