"""The outside systems of this project, one module each, with the domain types they speak."""
