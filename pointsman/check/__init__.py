"""What is proved of a graph, and found wrong with its tools, before any run of it."""

from pointsman.check.fingerprint import code_digest
from pointsman.check.structure import Shape, supersteps, unsound
from pointsman.check.tools import lint

__all__ = ["Shape", "code_digest", "lint", "supersteps", "unsound"]
