"""A development org of its own for each module: these tests change passwords, servers and apps."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests import browsing
from tests.running import Dev, running_dev


@pytest.fixture(scope="module")
def org(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    with running_dev(tmp_path_factory.mktemp("org")) as running:
        yield running


@pytest.fixture(scope="module")
def robin(browser: Browser, org: Dev) -> Any:
    """The administrator's cookies."""
    return browsing.signed_in(browser, org)


@pytest.fixture
def page(browser: Browser, robin: Any) -> Iterator[Page]:
    """A window of the administrator."""
    with browsing.window(browser, state=robin) as made:
        yield made


@pytest.fixture
def plain(browser: Browser, robin: Any) -> Iterator[Page]:
    """The same without JavaScript."""
    with browsing.window(browser, state=robin, java_script_enabled=False) as made:
        yield made
