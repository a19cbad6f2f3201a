"""What is proved of a graph before any run of it."""

from pointsman.check.fingerprint import code_digest
from pointsman.check.structure import Shape, supersteps, unsound

__all__ = ["Shape", "code_digest", "supersteps", "unsound"]
