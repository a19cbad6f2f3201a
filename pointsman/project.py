"""A project as files: which graphs it has, and who holds which role."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

from pointsman.controlled import Controlled
from pointsman.errors import BadInput, NotFound, PointsmanError
from pointsman.home import opened, project_root
from pointsman.principal import Roles


class Project:
    """The project whose root is `root` (default: the nearest folder upward with a `langgraph.json`)."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or project_root()
        self._loaded: dict[str, Controlled] = {}
        self._places: dict[str, str] = {}

    @cached_property
    def graphs(self) -> dict[str, str]:
        """Name to FILE:VAR, as `langgraph.json` says."""
        file = self.root / "langgraph.json"
        try:
            declared = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise _unreadable(file, str(error)) from error
        graphs = declared.get("graphs") if isinstance(declared, dict) else None
        if not isinstance(graphs, dict):
            raise _unreadable(file, "it declares no graphs")
        return {name: entry["path"] if isinstance(entry, dict) else entry for name, entry in graphs.items()}

    def graph(self, name: str) -> Controlled:
        """The compiled workflow that `name` stands for: a key of `langgraph.json`, or FILE:VAR. Raises `NotFound`, `BadInput`, and `UnsafeGraph` from its check."""
        if name not in self._loaded:
            place = self.graphs.get(name) or (name if ":" in name else None)
            if place is None:
                raise NotFound(f"there is no graph {name!r}", remedy=self.whereabouts())
            graph = self._load(*place.rsplit(":", 1), declared=name in self.graphs)
            self._loaded[name] = self._loaded[graph.plan.name] = graph
            self._places[graph.plan.name] = place
        return self._loaded[name]

    def place(self, name: str) -> str | None:
        """What has to be said of where the graph `name` is: nothing where `langgraph.json` says it, else FILE:VAR, as it was loaded if it was."""
        return None if name in self.graphs else self._places.get(name, "FILE:VAR")

    def whereabouts(self) -> str:
        """Where its graphs are declared and which there are, or how to come by some: for who looked for one in vain."""
        declared = self.root / "langgraph.json"
        if not declared.is_file():
            return f"{self.root} is in no project: go into the folder with its langgraph.json, or begin one with `pointsman new NAME`"
        return f"graphs in {declared}: {', '.join(sorted(self.graphs)) or 'none'}; or give FILE:VAR, to a command about a run with --graph"

    def value(self, place: str) -> Any:
        """What MODULE:NAME stands for in the project's rooms: `guards.finance:policy`. Raises `BadInput`, `NotFound`."""
        module, _, name = place.partition(":")
        if not name or not all(part.isidentifier() for part in module.split(".")):
            raise BadInput(f"{place!r} names nothing", remedy="give MODULE:NAME, such as guards.finance:policy")
        self._first_on_path()
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise NotFound(f"there is no {place}: {error}", remedy=f"modules are looked for from {self.root} on") from error

    @property
    def roles(self) -> Roles:
        """Who may decide what, as `guards/roles.toml` says now. Raises `BadInput`."""
        return Roles.read(self.root)

    def _load(self, file: str, variable: str, *, declared: bool) -> Controlled:
        # What a person types is meant from where they stand, as elsewhere at a command line.
        typed = Path(file).resolve()
        path = typed if not declared and typed.is_file() else (self.root / file).resolve()
        if not path.is_file():
            raise NotFound(f"there is no file {path}", remedy="mend the path in langgraph.json" if declared else self.whereabouts())
        self._first_on_path()
        here = opened.set((self.root, opened.get()[1]))
        try:
            module = _imported(path, self.root)
        except (PointsmanError, KeyboardInterrupt):
            raise
        except Exception as error:
            raise BadInput(
                f"{file} cannot be loaded: {type(error).__name__}: {error}",
                undone="no run was touched",
                remedy=f"`python {file}` shows where",
            ) from error
        finally:
            opened.reset(here)
        graph = getattr(module, variable, None)
        if not isinstance(graph, Controlled):
            raise BadInput(
                f"{file}:{variable} is no compiled workflow",
                remedy=f"end {file} with `{variable} = flow.compile()`, flow being a pointsman Workflow",
            )
        return graph

    def _first_on_path(self) -> None:
        # First, not last: an installed package of the same name must not shadow the project's rooms.
        if sys.path[:1] != [str(self.root)]:
            sys.path.insert(0, str(self.root))


def _unreadable(file: Path, why: str) -> BadInput:
    return BadInput(f"{file} cannot be read: {why}", remedy='it needs {"graphs": {NAME: "./FILE.py:VAR"}}')


def _imported(path: Path, root: Path) -> Any:
    parts = path.relative_to(root).with_suffix("").parts if path.is_relative_to(root) else ()
    # As a module of its package where it is in one, so that rooms import one another; else by its file alone: without an
    # `__init__.py` any installed package of the same name would be taken for the folder.
    if parts and all((root.joinpath(*parts[:depth]) / "__init__.py").is_file() for depth in range(1, len(parts))):
        return importlib.import_module(".".join(parts))
    name = f"{path.parent.name}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
