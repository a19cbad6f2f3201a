"""A new project: the rooms with one small workflow in them, which runs as it is and is there to be replaced.

`template/` holds the files as they are written, but for `{{name}}`, `{{user}}` and `{{version}}`. Its modules belong to nobody's
package until then, so nothing imports them here.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from pointsman.errors import BadInput
from pointsman.principal import os_user

MESSAGE = "Order A-17 came broken, please pay 80.00 back."
"""What the first run is given: more than the policy lets pass without a person."""

_TEMPLATE = Path(__file__).parent / "template"

_NAME = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")

_NOT_MADE = "nothing was written"


def begin(name: str, parent: Path) -> list[Path]:
    """Write the project `name` as a folder of `parent`, whole or not at all; its files, relative to it. Raises `BadInput`.

    The operating-system user who begins it holds both of its roles.
    """
    if not _NAME.fullmatch(name) or len(name) > 64:
        raise BadInput(
            f"{name!r} cannot be the name of a project",
            undone=_NOT_MADE,
            remedy="take small letters and digits, a letter first, in words joined by - or _, up to 64: refund-desk",
        )
    target = parent / name
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise BadInput(f"{target} exists and is no folder", undone=_NOT_MADE, remedy="take another name, or move it away")
    marks = {"name": name, "user": json.dumps(os_user(), ensure_ascii=False), "version": version("pointsman")}
    try:
        draft = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=parent))
        try:
            files = _written(draft, marks)
            draft.chmod(0o777 & ~_umask())
            draft.rename(target)  # takes the place of an empty folder, and of nothing else
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise _refused(target, error) from error
    return files


def _written(folder: Path, marks: Mapping[str, str]) -> list[Path]:
    """The files of the template, filled in."""
    files = sorted(path.relative_to(_TEMPLATE) for path in _TEMPLATE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    for file in files:
        text = (_TEMPLATE / file).read_text(encoding="utf-8")
        for mark, value in marks.items():
            text = text.replace("{{" + mark + "}}", value)
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text, encoding="utf-8")
    return files


def _umask() -> int:
    """The mask of this process, which only setting it tells; mkdtemp closes its folder to everybody else."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _refused(target: Path, error: OSError) -> BadInput:
    if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
        what, remedy = f"{target} exists and is not empty", "take another name, or empty it first"
    else:
        what, remedy = f"{target} cannot be written: {error.strerror}", "go to a folder of yours that has room, and type it again"
    return BadInput(what, undone=_NOT_MADE, remedy=remedy)
