"""Words that messages share."""


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, which gets an s unless the number is one."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
