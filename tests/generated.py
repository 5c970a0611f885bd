"""How much generated tests try: the same everywhere, with no seed kept and no time measured.

The same examples each time, so that a build says what the commit is worth; ``GATELODGE_EXPLORE=1`` tries new ones.
"""

import os

from hypothesis import HealthCheck, settings

EXPLORES = bool(os.environ.get("GATELODGE_EXPLORE"))
MANY = settings(
    max_examples=300,
    deadline=None,
    derandomize=not EXPLORES,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],  # a busy machine is no fault of the test's
)
