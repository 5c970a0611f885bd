"""How much generated tests try: the same everywhere, with no seed kept and no time measured."""

from hypothesis import HealthCheck, settings

MANY = settings(
    max_examples=300,
    deadline=None,
    derandomize=False,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],  # a busy machine is no fault of the test's
)
