"""Evaluation: predictions of a model, and figures as pure functions of them."""
