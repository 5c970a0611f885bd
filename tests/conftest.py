"""What every test shares: requirements bound both ways, no test left out unseen, and the houses that tests enter."""

import datetime as dt
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import is_hypothesis_test

from gatelodge.gateway.records import sample
from tests import mariadb, postgres, requirements
from tests.house import START, House
from tests.running import Dev, environment, running_dev

REQUIREMENTS = requirements.load()
NAMED_BY = requirements.named_by(REQUIREMENTS)
TODAY = dt.datetime.fromtimestamp(START, dt.UTC).date()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--require-all", action="store_true", help="Fail on skips and on requirements without a test.")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if is_slow(item):
            item.add_marker("slow")
        if named := NAMED_BY.get(item.nodeid.partition("[")[0]):
            item.add_marker(requirements.requirement(*named))
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


FAST = (
    "architecture", "core", "docs", "gateway/test_gate.py", "gateway/test_metadata.py", "oauth/test_flow.py",
    "oauth/test_codes.py", "oauth/test_consent.py", "oauth/test_discovery.py", "oauth/test_refresh.py",
    "oauth/test_told_to_the_client.py", "oauth/test_token_requests.py", "setup/test_app_form_rules.py",
    "setup/test_every_route.py", "web/test_front_door.py",
)  # fmt: skip
"""The tests of ``make check``, which is to take less than a minute: the house's rules, and the main job's."""


def is_slow(item: pytest.Item) -> bool:
    """What stands outside ``FAST``, what needs a PostgreSQL, and what tries hundreds of examples."""
    if not str(item.path.relative_to(Path(__file__).parent)).startswith(FAST):
        return True
    parameters = (
        item.callspec.params.values() if isinstance(item, pytest.Function) and hasattr(item, "callspec") else ()
    )
    return "postgresql" in parameters or is_hypothesis_test(getattr(item, "obj", None))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    deferred = {name: entry["deferred"] for name, entry in REQUIREMENTS.items() if "deferred" in entry}
    terminalreporter.write_line(f"{len(REQUIREMENTS)} requirements, {len(deferred)} of them deferred")
    for name, reason in deferred.items():
        terminalreporter.write_line(f"  deferred {name}: {reason}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and session.config.getoption("--require-all"):  # a worker has none: it reports elsewhere
        left_out = [kind for kind in ("skipped", "xfailed", "xpassed") if reporter.stats.get(kind)]
        if left_out and exitstatus == 0:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            reporter.write_line(f"left out: {', '.join(left_out)}; no test may be", red=True)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[postgres.Cluster]:
    """One PostgreSQL for the whole run; each test gets a database of its own in it."""
    with postgres.running(tmp_path_factory.mktemp("postgres")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[mariadb.Server]:
    """One MariaDB for the whole run."""
    with mariadb.running() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
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


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a house that was started once: a copy of it starts without making keys, passwords and records."""
    data = tmp_path_factory.mktemp("furnished") / "data"
    with House(data):
        sample.make_sample(data / "sample.db", TODAY)
    return data


@pytest.fixture(scope="session")
def furnished_on_postgres(postgres_server: postgres.Cluster, tmp_path_factory: pytest.TempPathFactory) -> House:
    """The same on PostgreSQL, to be copied as a template; by now it has stopped."""
    data = tmp_path_factory.mktemp("furnished-on-postgres") / "data"
    with House(data, database=postgres_server.fresh_database()) as made:
        sample.make_sample(data / "sample.db", TODAY)
    return made


@pytest.fixture
def house(tmp_path: Path, furnished: Path) -> Iterator[House]:
    """A development org in this process, with a clock that tests set."""
    with copy_of(furnished, tmp_path / "data") as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
def house_on(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    """The same on SQLite and on PostgreSQL."""
    with copy_on(request.param, request, tmp_path / "data") as made:
        yield made


def copy_of(furnished: Path, data: Path, database: str = "", **options: Any) -> House:
    """A house of its own with what this one holds; its records are its own too."""
    shutil.copytree(furnished, data)
    made = House(data, database=database, **options)
    made.moved_from = furnished
    return made


def copy_on(kind: str, request: pytest.FixtureRequest, data: Path, **options: Any) -> House:
    """The same on a database of this kind."""
    if kind == "sqlite":
        return copy_of(request.getfixturevalue("furnished"), data, **options)
    model: House = request.getfixturevalue("furnished_on_postgres")
    cluster: postgres.Cluster = request.getfixturevalue("postgres_server")
    url = cluster.fresh_database(template=model.config.database.rpartition("/")[2])
    return copy_of(Path(model.config.data), data, url, **options)


@pytest.fixture(scope="session")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """``gatelodge dev`` as a process, shared by the tests that change nothing another would trip over."""
    with running_dev(tmp_path_factory.mktemp("dev")) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One Chromium for a module's windows."""
    from tests import browsing

    with browsing.chromium() as made:
        yield made


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
