"""Training: the loop, what it optimizes with, and the command around it."""
