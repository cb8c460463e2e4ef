"""Auditing a data set: damaged files, photographs on both sides of a split, and shortcuts that a network could take."""
