"""What every unit test stands on: the examples beside it, and properties that do not depend on luck."""

import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent))  # for `from examples import …`

# The machine may be busy: how long one example takes says nothing. Examples are the same each time.
settings.register_profile(
    "unit",
    deadline=None,
    max_examples=30,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("unit")
