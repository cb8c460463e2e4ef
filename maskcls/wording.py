"""Words that messages share."""

import re


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, which gets an s unless the number is one."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def shortened(path: str, limit: int) -> str:
    """Return a path, or the end of one that is longer than ``limit`` letters."""
    return path if len(path) <= limit else f"...{path[3 - limit :]}"


def named(name: str) -> str:
    """Return a class's name as messages show it: in quotes if it has more than letters, digits, _ and -.

    A space at its end would not be seen otherwise, nor where it ends in a list.
    """
    return name if re.fullmatch(r"[\w-]+", name) else f"'{name}'"
