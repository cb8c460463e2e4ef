"""From a checkpoint to files that other programs run, and whether these give the same answers."""
