"""One Chromium for a module's journeys."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests import browsing


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing.chromium() as made:
        yield made
