"""What a model may answer: a value of the declared type, or that it abstains, or needs a person, and why; and how its answer is read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model

from pointsman.errors import BadInput
from pointsman.schema import check_kept

_FENCE = re.compile(r"\A\s*```(?:json)?\s*\n(.*)\n\s*```\s*\Z", re.DOTALL)
_UNREAD = ("default", "title", "examples")
"""Words of JSON Schema that say nothing about validity, or that strict servers refuse."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A model's decision, read from its answer."""

    value: Any = None
    abstained: str | None = None
    """Why it gave no value; None where it gave one."""
    needs_person: str | None = None
    """What it needs a person for; None where it needs none."""


class Form:
    """The form of an answer: `{"answer": VALUE or null, "abstain": REASON or null}`, exactly one of them filled; with `person` also `needs_person`."""

    def __init__(self, returns: Any, *, person: bool = False) -> None:
        reasons: dict[str, Any] = dict.fromkeys(("abstain", *(["needs_person"] if person else [])), (str | None, None))
        try:
            TypeAdapter(returns)
            self._model: type[BaseModel] = create_model(
                "Reply", __config__=ConfigDict(extra="forbid"), answer=(returns | None, None), **reasons
            )
            schema = self._model.model_json_schema()
        except Exception as error:
            raise BadInput(
                f"returns={returns!r} is no type that a model can be asked for: {error}",
                remedy="give a pydantic model, dataclass, TypedDict or plain type",
            ) from error
        self.strict = _can_be_strict(schema)
        self.schema: dict[str, Any] = _trimmed(schema, strict=self.strict)

    @property
    def response_format(self) -> dict[str, Any]:
        """The form as OpenAI-compatible servers take it."""
        return {"type": "json_schema", "json_schema": {"name": "reply", "schema": self.schema, "strict": self.strict}}

    def read(self, text: str) -> Reply:
        """The decision in an answer. Raises `ValueError` that says, without quoting the answer, where it does not fit."""
        fenced = _FENCE.match(text)
        try:
            read: Any = self._model.model_validate_json(fenced[1] if fenced else text)
        except ValidationError as error:
            faults = [
                f"{'.'.join(map(str, fault['loc'])) or 'the whole'}: {fault['msg']}"
                for fault in error.errors(include_url=False, include_input=False)
            ]
            raise ValueError("; ".join(faults[:10])) from error
        filled = {name: said for name in type(read).model_fields if (said := getattr(read, name)) is not None}
        if len(filled) != 1:
            raise ValueError(f"exactly one of {' and '.join(type(read).model_fields)} must be filled")
        try:
            check_kept(filled.get("answer"))
        except BadInput as error:
            raise ValueError(f"answer: {error.what}") from error
        why = {name: said.strip() or "it gave no reason" for name, said in filled.items() if name != "answer"}
        return Reply(filled.get("answer"), why.get("abstain"), why.get("needs_person"))


def _can_be_strict(schema: Any) -> bool:
    """Whether every object of the schema lists its fields, as OpenAI's strict mode wants it."""
    if isinstance(schema, list):
        return all(_can_be_strict(part) for part in schema)
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object" and ("properties" not in schema or schema.get("additionalProperties") not in (None, False)):
        return False
    if not schema or any(word in schema for word in ("oneOf", "allOf", "prefixItems")):
        return False
    named = schema.get("properties", {})
    return all(_can_be_strict(part) for part in [*named.values(), *(part for word, part in schema.items() if word != "properties")])


def _trimmed(schema: Any, *, strict: bool, names: bool = False) -> Any:
    """The schema without what servers do not read; `names` where the keys are names of fields, not words of JSON Schema."""
    if isinstance(schema, list):
        return [_trimmed(part, strict=strict) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if names:
        return {name: _trimmed(part, strict=strict) for name, part in schema.items()}
    kept = {
        word: _trimmed(part, strict=strict, names=word in ("properties", "$defs"))
        for word, part in schema.items()
        if word not in _UNREAD and not (word == "pattern" and "(?" in part)  # look-ahead, which their grammars do not know
    }
    if strict and "properties" in kept:
        kept |= {"additionalProperties": False, "required": list(kept["properties"])}
    return kept
