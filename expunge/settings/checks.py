"""Checks of flags, each refusing with one line that names the flag."""

from plumbing.errors import UsageError


def require(ok: bool, message: str) -> None:
    """Refuse with a message unless all is well."""
    if not ok:
        raise UsageError(message)


LARGEST = 1 << 53
"""Beyond it no setting makes sense, and no record can hold it."""


def at_least(flag: str, value: float | None, low: float) -> None:
    """Refuse a given value below a bound, or one that no run could mean."""
    require(value is None or value >= low, f"{flag} must be at least {low:g}, not {value}")
    require(value is None or value <= LARGEST, f"{flag} must be at most 2**53, not {value}")


def positive(flag: str, value: float | None) -> None:
    """Refuse a given value that is not above 0, or one that no run could mean."""
    require(value is None or 0 < value < float("inf"), f"{flag} must be above 0, not {value}")
    require(value is None or value <= LARGEST, f"{flag} must be at most 2**53, not {value}")


def apart(first: str, a: object, second: str, b: object) -> None:
    """Refuse two flags given together."""
    require(a is None or b is None, f"{first} and {second} exclude each other; give one of them")


def require_seed(seed: int) -> None:
    """Refuse a seed that torch cannot take."""
    require(0 <= seed < 2**63, f"--seed must be from 0 to 2**63 - 1, not {seed}")


def percent_range(flag: str, text: str) -> tuple[float, float]:
    """Read MIN or MIN:MAX in percent; MAX is 100 unless given."""
    try:
        low, high = (float(part) for part in (text if ":" in text else f"{text}:100").split(":"))
    except ValueError:
        raise UsageError(f"{flag} must be MIN or MIN:MAX in percent, not {text!r}") from None
    require(0 <= low <= high <= 100, f"{flag}: {text} is no range within 0 to 100")
    return low, high
