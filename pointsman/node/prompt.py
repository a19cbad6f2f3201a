"""A prompt: fixed text of the project, and fields of the state put into it as data.

`{field}` stands for a field that the node reads; a field that the text does not place follows at its end. What a field holds is put
between tags that carry a digest of it, so it cannot close them, and it is never read as a format itself. `{{` and `}}` are braces.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from pointsman import canonical
from pointsman.errors import BadInput
from pointsman.home import project_root
from pointsman.message import without_ids

_JSON: TypeAdapter[Any] = TypeAdapter(Any)

_PLACE = re.compile(r"\{\{|\}\}|\{([A-Za-z_]\w*)\}")


@dataclass(frozen=True, slots=True)
class Prompt:
    """The text of a prompt, and the fields that are put into it."""

    text: str
    fields: tuple[str, ...]

    @classmethod
    def of(cls, given: str, fields: tuple[str, ...]) -> Prompt:
        """A prompt from a Markdown file of the project (`nodes/prompts/x.md`, from the project's root) or from the text itself. Raises `BadInput`."""
        text = given
        if given.endswith(".md") and "\n" not in given:
            path = project_root() / given
            try:
                text = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise BadInput(
                    f"the prompt {path} cannot be read: {error}", remedy="prompt= is a path from the project's root, or the text itself"
                ) from error
        if not text.strip():
            raise BadInput("the prompt is empty", remedy="say in it what the model is to find out")
        unknown = sorted({name for name in _PLACE.findall(text) if name and name not in fields})
        if unknown:
            raise BadInput(
                f"the prompt names {', '.join(unknown)}, which the node does not read",
                remedy=f"add it to reads= (now: {', '.join(fields)}), or write {{{{…}}}} for braces",
            )
        return cls(text, fields)

    def filled(self, values: Mapping[str, Any]) -> tuple[str, dict[str, int]]:
        """The prompt with the fields in their places, and the bytes of each field."""
        bodies = {name: shown(values.get(name)) for name in self.fields}
        placed: set[str] = set()

        def put(place: re.Match[str]) -> str:
            name = place[1]
            if name is None:
                return place[0][0]
            placed.add(name)
            return block(name, bodies[name])

        text = _PLACE.sub(put, self.text)
        rest = [block(name, bodies[name]) for name in self.fields if name not in placed]
        return "\n\n".join([text.rstrip(), *rest]), {name: len(body.encode()) for name, body in bodies.items()}


def shown(value: Any) -> str:
    """A value as a model reads it: text as it is, anything else as JSON whose order is always the same; of messages all but their ids."""
    plain = canonical.decode(without_ids(canonical.encode(value)))
    return plain if isinstance(plain, str) else _JSON.dump_json(plain, indent=2).decode()


def block(name: str, body: str, kind: str = "field") -> str:
    """Text as data of a prompt, between tags that it cannot close since they carry its digest; `kind` says what `name` is.

    A text that holds its own mark can be found by trying: with 48 bits in hours, with the 128 that are used here never.
    """
    mark = hashlib.sha256(body.encode()).hexdigest()[:32]
    return f"<data-{mark} {kind}={name!r}>\n{body}\n</data-{mark}>"
