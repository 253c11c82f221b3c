"""How many inputs the property tests of parsers try: some in the suite, as many as PATTERNS_PROPERTY_CASES says."""

import os
from typing import Any

from hypothesis import HealthCheck, settings

CASES = int(os.environ.get("PATTERNS_PROPERTY_CASES", "40"))


def examples(count: int) -> Any:
    """Try so many inputs, however long a busy machine takes; the suite tries the same ones every time.

    :param count: how many
    """
    return settings(
        max_examples=count,
        derandomize="PATTERNS_PROPERTY_CASES" not in os.environ,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
