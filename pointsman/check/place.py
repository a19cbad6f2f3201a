"""Where code lies in its project: the same wherever and however it was loaded.

LangGraph's server loads a graph's file under a name of its own making (`__graphs__invoice`), the command line as `graphs.invoice`,
a script as `__main__`. A run may go through all of them, so neither its graph's version nor its kept values may tell them apart.
"""

from __future__ import annotations

import functools
import re
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pointsman.home import project_root

_INSTALLED = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def place(module: str) -> str:
    """The dotted path of a module from its project's root; its own name where it comes from no file."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return module if file is None or is_installed(file) else _place(file)


def is_installed(file: str) -> bool:
    """Whether a file belongs to Python or to an installed package, also where those lie within the project (`.venv`)."""
    return "site-packages" in file or "dist-packages" in file or file.startswith(_INSTALLED)


def placed(text: str, modules: Iterable[str]) -> str:
    """`text` with the modules in it called by their places."""
    names = sorted(set(modules), key=len, reverse=True)
    return re.sub("|".join(rf"\b{re.escape(name)}(?=\.)" for name in names), lambda found: place(found[0]), text) if names else text


def settle(classes: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Have classes (module, name) of the project go by their places, under which a checkpoint names them, and be found there."""
    return {(_settled(module, name), name) for module, name in classes}


def _settled(module: str, name: str) -> str:
    loaded, where = sys.modules.get(module), place(module)
    cls: Any = getattr(loaded, name, None)
    if loaded is None or where == module or getattr(cls, "__module__", None) != module:
        return module
    # The server executes a file once for each graph in it; whichever came first, it is the same code.
    if getattr(sys.modules.setdefault(where, loaded), "__file__", None) != loaded.__file__:
        return module
    cls.__module__ = where
    return where


@functools.cache
def _place(file: str) -> str:
    path = Path(file).resolve()
    return ".".join(path.relative_to(project_root(path.parent)).with_suffix("").parts)
