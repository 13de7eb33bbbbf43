"""Formats numbers and durations for people, the same way in the report and on the command line."""


def duration(seconds: float) -> str:
    """Return a duration in words: 8 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def signed(value: float, decimals: int) -> str:
    """Return a number with its sign: a real minus sign, and none before zero."""
    shown = f"{value:+.{decimals}f}"
    if float(shown) == 0:
        return shown[1:]
    return with_minus(shown)


def with_minus(number: str) -> str:
    """Return a formatted number with a real minus sign in place of each hyphen."""
    return number.replace("-", "\N{MINUS SIGN}")


def figure(value: float | int | str) -> str:
    """Return a figure of a stage's report: four significant digits, thousands separated; text is unchanged."""
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value


def counted(count: int, one: str, several: str = "") -> str:
    """Return a number with its noun: "1 document", "1,200 documents".

    Args:
        count: The number.
        one: The noun for one.
        several: The noun for any other number, if it is not `one` with an s.
    """
    return f"{count:,} {one if count == 1 else several or f'{one}s'}"
