"""Auditing a data set: damaged files, images on both sides of a split, and shortcuts that a network could take."""
