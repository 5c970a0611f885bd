"""Whatever clients, users, administrators and clocks do, in whichever order: what has ended opens nothing."""

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.generated import EXPLORES
from tests.house import House
from tests.invariants.machine import Machine
from tests.invariants.world import World
from tests.requirements import requirement

STORIES = settings(
    max_examples=500 if EXPLORES else 100,
    stateful_step_count=25,
    deadline=None,
    derandomize=not EXPLORES,
    database=None,
    suppress_health_check=list(HealthCheck),  # a busy machine is no fault of the test's
)


@requirement(
    "invariants:codes",
    "invariants:families",
    "invariants:endings",
    "invariants:nothing-widens",
    "invariants:orgs-apart",
)
def test_no_story_of_clients_users_administrators_and_time_breaks_a_promise(house_on: House):
    class Story(Machine):
        world = World(house_on)

    run_state_machine_as_test(Story, settings=STORIES)
