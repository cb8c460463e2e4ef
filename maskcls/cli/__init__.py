"""The console commands. Each module is one step from what was typed to the job; `entry_points` lists them in order."""

from maskcls.cli.entry_points import audit, compare, demo, evaluate, export, main, predict, train

__all__ = ["audit", "compare", "demo", "evaluate", "export", "main", "predict", "train"]
