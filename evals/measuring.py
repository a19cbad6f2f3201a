"""What measurements on public data share: where the data lie, and a command line that prints what came of it, as a page or as JSON."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def measuring_data() -> Path:
    """The folder of the measuring data: `POINTSMAN_DATA`, else `../shared/data` beside the repository."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("POINTSMAN_DATA") or default)


def measured(
    module: str,
    about: str,
    work: Callable[[Path], dict[str, Any]],
    page: Callable[[dict[str, Any]], None],
    arguments: list[str] | None = None,
) -> dict[str, Any] | None:
    """What `work` counts in the measuring data, once it is printed: by `page`, or with `--json` as it is. None where the data is missing, which is said."""
    parser = argparse.ArgumentParser(prog=f"python -m evals.{module}", description=about)
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")
    chosen = parser.parse_args(arguments)
    try:
        told = work(measuring_data())
    except OSError as error:
        print(f"{error}; set POINTSMAN_DATA to the folder of the measuring data", file=sys.stderr)
        return None
    if chosen.json:
        print(json.dumps(told, indent=2))
    else:
        page(told)
    return told
