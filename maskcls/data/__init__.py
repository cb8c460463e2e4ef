"""From image files to batches: index, decode, cache, statistics, loaders, augmentation."""
