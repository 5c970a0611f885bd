"""What every test shares: requirements bound both ways, no test left out unseen, and the houses that tests enter."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import postgres, requirements
from tests.house import House
from tests.running import Dev, environment, running_dev

REQUIREMENTS = requirements.load()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--require-all", action="store_true", help="Fail on skips and on requirements without a test.")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        named = [name for mark in item.iter_markers("requirement") for name in mark.args]
        if not named:
            raise pytest.UsageError(f"{item.nodeid} holds us to nothing: give it @requirement(...)")
        if unknown := [name for name in named if name not in REQUIREMENTS]:
            raise pytest.UsageError(f"{item.nodeid} names unknown requirements: {unknown}")
        if deferred := [name for name in named if "deferred" in REQUIREMENTS[name]]:
            raise pytest.UsageError(f"{item.nodeid} tests what the manifest says is deferred: {deferred}")
    if config.getoption("--require-all"):
        tested = {name for item in items for mark in item.iter_markers("requirement") for name in mark.args}
        untested = [name for name, entry in REQUIREMENTS.items() if name not in tested and "deferred" not in entry]
        if untested:
            raise pytest.UsageError(f"requirements without a test: {', '.join(untested)}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    deferred = {name: entry["deferred"] for name, entry in REQUIREMENTS.items() if "deferred" in entry}
    terminalreporter.write_line(f"{len(REQUIREMENTS)} requirements, {len(deferred)} of them deferred")
    for name, reason in deferred.items():
        terminalreporter.write_line(f"  deferred {name}: {reason}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if session.config.getoption("--require-all"):
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        left_out = [kind for kind in ("skipped", "xfailed", "xpassed") if reporter.stats.get(kind)]
        if left_out and exitstatus == 0:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            reporter.write_line(f"left out: {', '.join(left_out)}; no test may be", red=True)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[postgres.Cluster]:
    """One PostgreSQL for the whole run; each test gets a database of its own in it."""
    with postgres.running(tmp_path_factory.mktemp("postgres")) as cluster:
        yield cluster


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database: the same test runs on both kinds."""
    if request.param == "sqlite":
        return str(tmp_path / "gatelodge.db")
    cluster: postgres.Cluster = request.getfixturevalue("postgres_server")
    return cluster.fresh_database()


@pytest.fixture
def run_async() -> Callable[..., object]:
    """Run a coroutine to its end on a loop of its own."""
    import asyncio

    return asyncio.run


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A development org in this process, with a clock that tests set."""
    with House(tmp_path / "data") as made:
        yield made


@pytest.fixture
def house_on(tmp_path: Path, database: str) -> Iterator[House]:
    """The same on SQLite and on PostgreSQL."""
    with House(tmp_path / "data", database=database) as made:
        yield made


@pytest.fixture(scope="session")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """``gatelodge dev`` as a process, shared by the tests that change nothing another would trip over."""
    with running_dev(tmp_path_factory.mktemp("dev")) as running:
        yield running


@pytest.fixture
def own_dev(tmp_path: Path) -> Iterator[Dev]:
    """The same for one test alone, which may turn its keys and its settings over."""
    with running_dev(tmp_path / "data") as running:
        yield running


@pytest.fixture(scope="session")
def gatelodge() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line and hand back what it said."""

    def run(*arguments: str, stdin: str = "", timeout: float = 30) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "gatelodge", *arguments],
            input=stdin, capture_output=True, text=True, timeout=timeout, check=False, env=environment(),
        )  # fmt: skip

    return run
