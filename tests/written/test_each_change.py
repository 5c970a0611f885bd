"""Whatever is changed, by a page or by a command, is written down once, with who did it, and without any secret."""

import ast
import re
from pathlib import Path
from typing import Any

import gatelodge
from gatelodge import setup
from gatelodge.cli import verbs
from gatelodge.core import audit, chains, orgs
from gatelodge.setup import audit_trail, events
from tests.house import House
from tests.requirements import requirement
from tests.written import changing, commanding
from tests.written.changing import Scene, World

KINDS = "|".join(audit_trail.KINDS)
TAG, BEGUN = re.compile(rf"(?:{KINDS})(?::[a-z_]+){{1,2}}"), re.compile(rf"(?:{KINDS}):[a-z_]+:")
CASCADES = ("connection:session:end",)
"""What another change may bring with it."""


def newest(house: House) -> int:
    return house.read(chains.find, house.org.id, chains.AUDIT).seq


def play(world: World, scene: Scene) -> None:
    """Make the change, and look at what was written of it."""
    house, about = world.house, f"{scene.place} {scene.tags}"
    scene.before(world)
    before = newest(house)
    scene.act(world)
    found: list[Any] = house.read(audit.after, house.org.id, before)
    tags = sorted(each.tag for each in found if each.tag in scene.tags or each.tag not in CASCADES)
    assert tuple(tags) == tuple(sorted(scene.tags)), (about, [(each.tag, each.details) for each in found])
    actors = {"robin": world.robin_id, "sam": world.sam_id, "command": "the command line"}
    for each in found:
        if scene.by and each.tag not in CASCADES:
            assert each.actor == actors[scene.by], (about, each)
        kept = [secret for secret in world.front.secrets | world.sams.secrets if secret in each.details]
        assert not kept, (about, each.tag, each.details)


@requirement("audit:each-change")
def test_every_form_of_setup_writes_one_event_with_who_changed_what(house: House):
    world = World(house)
    for scene in changing.OF_SETUP:
        play(world, scene)


@requirement("audit:each-change")
def test_no_form_of_setup_is_forgotten():
    posts = {row.path for row in setup.ROUTES if "POST" in row.methods}
    played = {scene.place for scene in changing.OF_SETUP}
    assert played | set(changing.UNWRITTEN) == posts and not played & set(changing.UNWRITTEN)


@requirement("audit:each-change")
def test_every_command_that_changes_something_writes_one_event(house: House):
    world = World(house)
    for scene in commanding.OF_COMMANDS:
        play(world, scene)
    [other] = [org for org in house.read(orgs.all_orgs, house.config.public_url) if org.name]
    assert "org:settings:create" in [each.tag for each in house.read(audit.after, other.id, 0)]


@requirement("audit:each-change")
def test_no_command_is_forgotten():
    played = {scene.place for scene in commanding.OF_COMMANDS}
    assert played | commanding.READING | set(commanding.UNWRITTEN) == set(verbs.VERBS)


@requirement("audit:each-change")
def test_consent_refusal_sign_in_sign_out_and_the_end_of_a_connection_write_one_event(house_on: House):
    world = World(house_on)
    for scene in commanding.OF_OAUTH:
        play(world, scene)


@requirement("audit:words")
def test_every_tag_has_words_and_no_words_are_left_over():
    written, begun = set[str](), set[str]()
    for file in Path(gatelodge.__file__).parent.rglob("*.py"):
        if file.name == "events.py" and file.parent.name == "setup":
            continue
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and TAG.fullmatch(node.value):
                written.add(node.value)
            if isinstance(node, ast.JoinedStr) and BEGUN.fullmatch(start := str(getattr(node.values[0], "value", ""))):
                begun.add(start)
    played = {
        tag for scene in (*changing.OF_SETUP, *commanding.OF_COMMANDS, *commanding.OF_OAUTH) for tag in scene.tags
    }
    assert written | played <= set(events.WORDS), written - set(events.WORDS)
    assert begun == {"app:page:", "app:secret:", "approval:call:", "upstream:user:"}
    assert {tag for tag in set(events.WORDS) - written if not tag.startswith(tuple(begun))} == set()
