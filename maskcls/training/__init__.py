"""Training: the loop, its state, what it reports, and how it resumes."""
