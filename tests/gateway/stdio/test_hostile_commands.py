"""Commands that misbehave: who called them is told, and nobody else notices."""

import json
import sys
from typing import Any

import pytest

from gatelodge.gateway.stdio import child
from tests.gateway.relay.standing import Gate
from tests.gateway.stdio.commanding import command, error, is_there, result, source, tell
from tests.requirements import requirement
from tests.running import eventually

TERMS = {"idle_seconds": 1, "connect_seconds": 1, "first_byte_seconds": 2, "largest_answer": 1024 * 1024}
ERAS = pytest.mark.parametrize("era", ["legacy", "modern"])


def call(gate: Gate, what: str, n: int = 0) -> Any:
    return gate.client(n=n).modern("tools/call", {"name": "tell", "arguments": {"what": what}})


@requirement("stdio:hostile")
@ERAS
@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("die", ("ended before it answered", "broke off")),
        ("eat", ("ended before it answered", "broke off")),
        ("endless", ("longer line", "more than 1048576 bytes")),
    ],
)
def test_a_command_that_breaks_is_told_as_its_failure_and_the_next_call_works(
    gate: Gate, era: str, what: str, why: tuple[str, ...]
):
    command(gate, era, **TERMS)
    before = json.loads(tell(gate.client(), "who"))["pid"]
    answer = call(gate, what)
    assert answer.status_code == 502 and any(each in error(answer) for each in why), answer.text
    after = json.loads(tell(gate.client(), "who"))["pid"]
    assert after != before and eventually(lambda: not is_there(before), 10)


@requirement("stdio:hostile")
def test_a_command_that_hangs_is_given_up_in_time(gate: Gate):
    command(gate, "modern", **TERMS)
    answer = call(gate, "hang")
    assert answer.status_code == 504 and "did not answer in time" in error(answer)
    assert tell(gate.client(n=1), "hello") == "done: hello"


@requirement("stdio:hostile")
def test_a_command_of_the_old_era_that_hangs_is_ended_with_the_call(gate: Gate):
    command(gate, "legacy", **TERMS, call_seconds=1)
    answer = call(gate, "hang")
    assert answer.status_code == 504, answer.text
    assert tell(gate.client(n=1), "hello") == "done: hello"


@requirement("stdio:hostile")
@ERAS
@pytest.mark.parametrize("what", ["flood", "nonsense", "strangers"])
def test_noise_and_answers_that_nobody_asked_for_reach_nobody(gate: Gate, era: str, what: str):
    command(gate, era, **(TERMS | {"idle_seconds": 20}))
    answer = call(gate, what)
    assert result(answer)["content"] == [{"type": "text", "text": "done"}]
    assert "another's" not in answer.text and "noise" not in answer.text and "unheard-of" not in answer.text


@requirement("stdio:hostile")
@pytest.mark.parametrize(
    ("when", "status", "why"), [("exit", 502, "ended before it answered"), ("silent", 504, "did not answer in time")]
)
def test_a_command_that_never_begins_is_told_of_and_left_alone_after_a_while(
    gate: Gate, when: str, status: int, why: str
):
    made = command(gate, "legacy", **TERMS)
    patience = {"first_byte_seconds": 1 if when == "silent" else 30, "connect_seconds": 30}
    broken = gate.register(source("legacy", when), "broken", "stdio", **(TERMS | patience))
    client = gate.client("broken")
    answer = client.modern("tools/list")
    assert answer.status_code == status and why in error(answer), answer.text
    for _ in range(4):
        answer = client.modern("tools/list")
    assert answer.status_code == 503 and "left alone" in error(answer) and int(answer.headers["retry-after"]) > 0
    assert broken.id != made.id and tell(gate.client(), "hello") == "done: hello"


@requirement("stdio:hostile")
def test_a_program_that_is_not_there_is_told_with_the_reason(gate: Gate):
    made = gate.register(json.dumps([sys.executable, "/nowhere/at/all.py"]), "gone", "stdio", **TERMS)
    answer = gate.client("gone").modern("tools/list")
    assert answer.status_code == 502 and "the command of gone ended before it answered" in error(answer)
    assert made.name == "gone"


@requirement("stdio:hostile")
def test_a_command_that_computes_without_an_end_is_ended_by_its_limit(gate: Gate, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(child, "CPU_SECONDS", 1)
    command(gate, "modern", **(TERMS | {"idle_seconds": 50}))
    answer = call(gate, "spin")
    assert answer.status_code == 502 and "ended before it answered" in error(answer), answer.text
    assert tell(gate.client(), "hello") == "done: hello"
