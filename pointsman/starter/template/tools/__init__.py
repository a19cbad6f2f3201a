"""The outside systems, one file each, with the types they speak."""
