"""What is made of the record: the proof that it was not altered, and the form in which runs are compared."""

from pointsman.evidence.record import canonical_record, record_digest, value_digest
from pointsman.evidence.verify import Fault, verify

__all__ = ["Fault", "canonical_record", "record_digest", "value_digest", "verify"]
