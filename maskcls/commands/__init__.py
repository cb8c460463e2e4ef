"""The commands, one file each: what happens in which order, and what goes into the run directory."""
