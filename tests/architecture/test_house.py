"""What import contracts can't say about the house."""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import jinja2
import pytest

from gatelodge.cli.arguments import parser
from gatelodge.config import Config, options
from gatelodge.web import pages
from tests.requirements import requirement
from tests.running import environment

ROOT = Path(__file__).parent.parent.parent
SOURCE = ROOT / "src/gatelodge"
MODULES = {path: ast.parse(path.read_text("utf-8")) for path in sorted(SOURCE.rglob("*.py"))}
SCHEMA = "\n".join(path.read_text("utf-8") for path in sorted((SOURCE / "store/migrations").glob("*.sql")))
TABLES = re.findall(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)", SCHEMA)
SQL = re.compile(r"\b(SELECT\b.+\bFROM|INSERT INTO|UPDATE\b.+\bSET|DELETE FROM|CREATE TABLE)\b", re.DOTALL)


def name_of(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def statements(tree: ast.AST) -> Iterator[str]:
    """Every text of a module that isn't a docstring, with an f-string's constant parts put together."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else " x " for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def owners() -> dict[str, set[str]]:
    """The modules whose SQL names each table."""
    found: dict[str, set[str]] = defaultdict(set)
    named = re.compile(rf"\b(?:FROM|INTO|UPDATE|JOIN)\s+({'|'.join(TABLES)})\b")
    for path, tree in MODULES.items():
        if "gateway/records" not in name_of(path):
            for text in statements(tree):
                for table in named.findall(text):
                    found[table].add(name_of(path))
    return found


@requirement("house:one-table-one-module")
def test_each_table_is_named_in_one_module():
    found = owners()
    # The feed is written by the store at the end of a transaction, and read by its owner.
    feed = {"feed": {"core/propagation.py", "store/driving.py"}, "changes": {"core/propagation.py", "store/driving.py"}}
    shared = {table: modules for table, modules in found.items() if len(modules) > 1 and modules != feed.get(table)}
    assert shared == {}
    assert set(TABLES) <= set(found), "a table that nothing reads or writes"


@requirement("house:sql-in-core-and-store")
def test_sql_stands_in_core_and_store_alone():
    outside = [
        (name_of(path), text[:60])
        for path, tree in MODULES.items()
        if not name_of(path).startswith(("core/", "store/", "gateway/records/"))
        for text in statements(tree)
        if SQL.search(text)
    ]
    assert outside == []


# A stopwatch (time.monotonic) tells how long something took, never what time it is.
CLOCKS = re.compile(r"^(time\.(time|time_ns|ctime|localtime|gmtime)|datetime\.(now|utcnow|today)|date\.today)$")
CHANCE = ("random", "secrets", "uuid")


@requirement("house:time-and-chance-are-arguments")
def test_time_and_chance_enter_at_known_doors():
    found = set()
    for path, tree in MODULES.items():
        for node in ast.walk(tree):
            if (isinstance(node, ast.Attribute) and CLOCKS.match(ast.unparse(node).removeprefix("datetime."))) or (
                isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.urandom", "datetime.datetime.now")
            ):
                found.add((name_of(path), ast.unparse(node)))
            elif isinstance(node, ast.Import):
                found |= {(name_of(path), each.name) for each in node.names if each.name in CHANCE}
            elif isinstance(node, ast.ImportFrom) and node.module in (*CHANCE, "time"):
                found.add((name_of(path), node.module))
    # The sample's dice are seeded: the same records everywhere.
    allowed = {("app.py", "time.time"), ("core/secrets.py", "secrets"), ("gateway/records/sample.py", "random")}
    assert found <= allowed, found - allowed


@requirement("house:no-bare-yield")
def test_operations_yield_only_from_one_another():
    found = [
        (name_of(path), node.name)
        for path, tree in MODULES.items()
        if name_of(path).startswith("core/") and name_of(path) != "core/operation.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and not (node.returns and "Iterator[" in ast.unparse(node.returns))
        if any(isinstance(inside, ast.Yield) for inside in ast.walk(node))
    ]
    assert found == []


@requirement("house:small-files")
def test_files_and_functions_are_small():
    files = [(name_of(path), len(path.read_text("utf-8").splitlines())) for path in MODULES]
    assert [each for each in files if each[1] >= 400] == []
    functions = [
        (name_of(path), node.name, node.end_lineno - node.lineno + 1)
        for path, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 >= 40
    ]
    assert functions == []


@requirement("house:names")
def test_nothing_is_called_a_helper():
    empty = re.compile(r"(?:^|_)(utils?|helpers?|managers?|services?|handlers?|common|misc)(?:_|$)")
    found = []
    for path, tree in MODULES.items():
        names = [path.stem, *(node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.FunctionDef))]
        found += [
            (name_of(path), name) for name in names if empty.search(re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower())
        ]
    assert found == []


@requirement("house:templates-are-strict")
def test_an_undefined_name_in_a_template_fails():
    with pytest.raises(jinja2.UndefinedError):
        pages.environment().from_string("{{ nobody_defined_this }}").render()
    with pytest.raises(jinja2.UndefinedError):
        pages.environment().from_string("{% if nobody_defined_this %}x{% endif %}").render()


@requirement("house:templates-are-strict")
def test_every_template_compiles_and_is_named():
    code = "\n".join(text for tree in MODULES.values() for text in statements(tree))
    files = sorted(SOURCE.rglob("templates/*.html"))
    texts = "\n".join(path.read_text("utf-8") for path in files)
    for path in files:
        pages.environment().get_template(f"{path.parent.parent.name}/{path.name}")
        assert path.name in code or path.name in texts, f"nothing shows {path.name}"


LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-postgres.lock")


@requirement("house:templates-evaluate-nothing")
def test_no_template_has_script_or_style_in_it_or_an_attribute_that_evaluates():
    found = [
        (file.name, line)
        for file in sorted((ROOT / "src/gatelodge").rglob("*.html"))
        for line in file.read_text("utf-8").splitlines()
        if re.search(r"""\s(?:style|on[a-z]+|hx-on[^=]*)=|<style|javascript:|["']js:|<script(?![^>]*\ssrc=)""", line)
    ]
    assert found == []


@requirement("house:locks-name-no-host")
@pytest.mark.parametrize("name", LOCKS)
def test_python_pins_have_hashes_and_name_no_host(name: str):
    text = (ROOT / name).read_text("utf-8")
    assert "://" not in text
    assert "--index-url" not in text
    pins = text.replace("\\\n", " ").splitlines()
    assert pins
    for pin in pins:
        assert re.match(r"[A-Za-z0-9._\[\]-]+==\S+", pin), pin
        assert "--hash=sha256:" in pin, pin


@requirement("house:locks-name-no-host")
def test_npm_pins_have_hashes_and_name_no_host():
    text = (ROOT / "package-lock.json").read_text("utf-8")
    assert '"resolved"' not in text
    assert "registry." not in text
    packages = len(re.findall(r'^    "node_modules/', text, re.MULTILINE))
    assert len(re.findall(r'"integrity": "sha512-', text)) >= packages * 0.99


@requirement("house:speaks-of-itself")
def test_no_file_names_the_machine_it_was_made_on():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    files = [ROOT / name for name in listed.stdout.split("\0") if name] or [
        path for folder in ("src", "tests", "tools", "docs") for path in (ROOT / folder).rglob("*") if path.is_file()
    ]
    machine = re.compile(rb"/(?:work|root|home/[a-z]+)/[\w.]|127\.0\.0\.1:31\d\d\d\b")
    named = [
        str(path.relative_to(ROOT)) for path in files if path.is_file() and machine.search(path.read_bytes())
    ]  # fmt: skip
    assert named == []


@requirement("house:options-have-help")
def test_every_option_has_help_and_is_offered():
    shown = {each.name for each in options()}
    assert shown == set(Config.__struct_fields__) - {"is_development"}
    commands = next(action for action in parser()._actions if hasattr(action, "choices") and action.choices)
    offered = {
        action.dest: action.help for name in ("dev", "serve") for action in commands.choices[name]._actions
    }  # fmt: skip
    for each in options():
        assert len(each.help) > 20
        assert each.help.endswith(".")
        assert each.help.replace("%", "%%") in offered[each.name]


HEAVY = ("mcp", "sqlalchemy", "sqlglot", "lark", "aiohttp", "asyncpg", "webauthn", "lxml", "httpx2", "pydantic")
START = """
import asyncio, sys
from gatelodge.app import build
from gatelodge.cli import seeding, starting
from gatelodge.config import load
async def main():
    app = await build(load({"is_development": True, "data": sys.argv[1]}, {}))
    await seeding.development(app.site)
    await app.start()
    print(" ".join(sorted({name.partition(".")[0] for name in sys.modules})))
    await app.stop()
asyncio.run(main())
"""


@pytest.mark.slow
@requirement("house:imports-lean")
def test_what_is_heavy_is_not_imported_before_readiness(tmp_path: Path):
    command = [sys.executable, "-c", START, str(tmp_path / "data")]
    started = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=60)
    assert started.returncode == 0, started.stderr
    assert set(started.stdout.split()) & set(HEAVY) == set()


@pytest.mark.slow
@requirement("house:requirements-both-ways")
def test_a_run_fails_on_what_is_left_out(tmp_path: Path):
    """The rules of ``make test``, on a suite of its own."""
    (tmp_path / "tests/manifest").mkdir(parents=True)
    for name in (
        "conftest.py",
        "requirements.py",
        "house.py",
        "mariadb.py",
        "postgres.py",
        "running.py",
        "__init__.py",
    ):
        if (ROOT / "tests" / name).exists():
            (tmp_path / "tests" / name).write_text((ROOT / "tests" / name).read_text("utf-8"))
    manifest = tmp_path / "tests/manifest/a.toml"
    entry = '["a:{0}"]\nsource = "s"\nbehavior = "b"\n{1}'
    head = "import pytest\nfrom tests.requirements import requirement\n\n"
    good = '@requirement("a:one")\ndef test_one():\n    pass\n'

    def run(entries: str, code: str) -> tuple[int, str]:
        manifest.write_text(entries)
        (tmp_path / "tests/test_it.py").write_text(head + code)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "--require-all", "-p", "no:cacheprovider", "-c",
             str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path), "tests"],
            cwd=tmp_path, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    assert run(entry.format("one", ""), "def test_free():\n    pass\n")[0] == 4
    assert run(entry.format("one", ""), good.replace("a:one", "a:other"))[0] == 4
    code, said = run(entry.format("one", "") + entry.format("two", ""), good)
    assert (code, "requirements without a test: a:two" in said) == (4, True)
    code, said = run(entry.format("one", "") + entry.format("two", 'deferred = "not yet"\n'), good)
    assert (code, "1 of them deferred" in said, "deferred a:two: not yet" in said) == (0, True, True)
    left_out = [good.replace("@req", f"@pytest.mark.{mark}\n@req").replace("_one", mark) for mark in ("skip", "xfail")]
    code, said = run(entry.format("one", ""), good + "".join(left_out))
    assert (code, "left out: skipped, xpassed; no test may be" in said) == (1, True), said
