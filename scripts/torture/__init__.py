"""Faults injected on purpose, and whether maskcls keeps what it promises. ``python scripts/torture`` runs it."""

from torture.checkpoints import differences

__all__ = ["differences"]
