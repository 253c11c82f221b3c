"""Tables in the task log: one width, numbers to the right."""

NAME_WIDTH = 26
VALUE_WIDTH = 14


def row(name: str, *values: object) -> str:
    """A name and its values.

    :param name: shown as it is
    :param values: whole numbers get thousands separators, others as many decimals as they were rounded to
    """
    return f"  {name:<{NAME_WIDTH}}" + "".join(f"{_text(value):>{VALUE_WIDTH}}" for value in values)


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int | float) else str(value)
