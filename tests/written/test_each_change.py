"""Whatever is changed, by a page or by a command, is written down once, with who did it, and without any secret."""

from typing import Any

from gatelodge import setup
from gatelodge.core import audit, chains
from tests.house import House
from tests.requirements import requirement
from tests.written import changing
from tests.written.changing import Scene, World

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
