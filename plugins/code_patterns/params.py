"""What a person may choose for a run: a Param beats the Variable, the Variable beats the default."""

import math
from collections.abc import Callable
from typing import Any

from code_patterns.errors import ConfigurationError

ReadVariable = Callable[[str], str | None]
"""Returns the text of an Airflow Variable, or ``None`` when there is none."""


def chosen(name: str, param: Any, variable: str | None, default: Any, read_variable: ReadVariable) -> tuple[str, Any]:
    """Take the Param, else the Variable, else the default.

    :return: in words where the value comes from, for messages, and the value
    """
    if param is not None and str(param).strip() not in ("", "None"):
        return f"The Param '{name}'", param
    text = read_variable(variable) if variable else None
    if text is not None:
        return f"The Variable '{variable}'", text
    return f"The default of '{name}'", default


def choose_whole_number(
    name: str, param: Any, variable: str | None, default: int | None, read_variable: ReadVariable
) -> int | None:
    """Choose a whole number of at least 1, or the default.

    :param name: the Param's name
    :param param: its value, ``None`` when it was left empty
    :param variable: the Variable's name, or ``None`` where there is none
    :raises ConfigurationError: naming the Param or Variable and its value
    """
    where, value = chosen(name, param, variable, default, read_variable)
    if value is None:
        return None
    number = _number(value)
    if number is None or number != int(number) or number < 1:
        raise ConfigurationError(f"{where} is {value!r}; it must be a whole number of at least 1.")
    return int(number)


def choose_seconds(name: str, param: Any, variable: str, default: float, read_variable: ReadVariable) -> float:
    """Choose a duration of 0 seconds or more; errors as in :func:`choose_whole_number`."""
    where, value = chosen(name, param, variable, default, read_variable)
    number = _number(value)
    if number is None or number < 0:
        raise ConfigurationError(f"{where} is {value!r}; it must be a number of seconds, 0 or more.")
    return number


def choose_fraction(variable: str, default: float, read_variable: ReadVariable) -> float:
    """Choose a share from above 0 up to 1; errors as in :func:`choose_whole_number`."""
    where, value = chosen("", None, variable, default, read_variable)
    number = _number(value)
    if number is None or not 0 < number <= 1:
        raise ConfigurationError(f"{where} is {value!r}; it must be a share above 0 and up to 1, such as 0.2.")
    return number


def choose_flag(name: str, param: Any) -> bool:
    """Read a yes-or-no Param."""
    if isinstance(param, bool):
        return param
    if param is None or str(param).strip().lower() in ("", "none", "false"):
        return False
    if str(param).strip().lower() == "true":
        return True
    raise ConfigurationError(f"The Param '{name}' is {param!r}; it must be true or false.")


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(str(value).strip())
    except ValueError:
        return None
    return number if math.isfinite(number) else None
