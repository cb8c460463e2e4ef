"""From a checkpoint and images to answers."""
