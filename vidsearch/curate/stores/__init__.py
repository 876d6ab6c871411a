"""Vector stores that clips can be exported to, a file each: `write(batches, target)`, see `base`."""
