"""The MCP conformance suite through the gate: clients and upstreams of either era, the same and crossed."""

import subprocess
from pathlib import Path

import pytest

from tests.gateway.relay.standing import everything, signing, standing
from tests.journeys.test_outside_judges import CONFORMANCE, NODE
from tests.requirements import requirement

EXPECTED = Path(__file__).parent / "expected"
MODERN, LEGACY = "2026-07-28", "2025-11-25"


def judged(furnished: Path, folder: Path, upstream_era: str, revision: str, *flags: str) -> tuple[int, str]:
    """The suite's exit code and words."""
    with everything(upstream_era) as url, standing(furnished, folder / "data") as gate:
        gate.upstream(url)
        with signing(gate) as signed:
            command = [str(NODE), str(CONFORMANCE), "server", "--url", signed, "--requirements", revision]
            done = subprocess.run(
                [*command, "-o", str(folder / "out"), *flags], capture_output=True, text=True, timeout=180, cwd=folder
            )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("upstream_era", "revision"), [
    ("modern", MODERN), ("dual", MODERN), ("legacy", LEGACY), ("dual", LEGACY),
])  # fmt: skip
@requirement("relay:conformance")
def test_the_suite_passes_through_the_gate_where_both_sides_speak_one_era(
    furnished: Path, tmp_path: Path, upstream_era: str, revision: str
):
    code, said = judged(furnished, tmp_path, upstream_era, revision)
    assert code == 0, said[-6000:]


@pytest.mark.slow
@pytest.mark.parametrize(("upstream_era", "revision"), [("legacy", MODERN), ("modern", LEGACY)])
@requirement("relay:conformance-across")
def test_across_eras_the_suite_finds_the_differences_that_are_written_down_and_no_others(
    furnished: Path, tmp_path: Path, upstream_era: str, revision: str
):
    listed = EXPECTED / f"client-{revision}-upstream-{upstream_era}.yml"
    code, said = judged(furnished, tmp_path, upstream_era, revision, "--expected-failures", str(listed))
    assert code == 0, said[-6000:]
