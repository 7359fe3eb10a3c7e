"""Numbers that environment variables set."""

from __future__ import annotations

import math
import os

from emotions.errors import ConfigError


def number_of(variable: str, default: float, most: float, form: str = "a number") -> float:
    """The number that an environment variable sets.

    Args:
        variable: its name.
        default: where it is not set, or empty.
        most: largest number that it may be.
        form: what to say that it must be.

    Raises:
        ConfigError: it is no number above 0, or a larger one.
    """
    named = os.environ.get(variable)
    try:
        value = float(named) if named else default
    except ValueError:
        value = math.nan
    if not 0 < value <= most:
        raise ConfigError(f"{variable}={named!r}: must be {form} above 0, at most {most:g}")
    return value
