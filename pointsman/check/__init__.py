"""What is proved of a graph, and found wrong with its tools and agents, before any run of it."""

from pointsman.check.agents import unmeant
from pointsman.check.fingerprint import code_digest
from pointsman.check.structure import Shape, supersteps, unsound
from pointsman.check.tools import lint

__all__ = ["Shape", "code_digest", "lint", "supersteps", "unmeant", "unsound"]
