"""Data sets: finds image files, decodes them, and makes batches of them."""
