"""The houses that the rules on rows are tried in."""

from tests.oauth.conftest import house, house_on, shared_house, shared_house_on

__all__ = ["house", "house_on", "shared_house", "shared_house_on"]
