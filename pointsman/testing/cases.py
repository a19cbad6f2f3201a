"""A marker for pytest: a test that is run once for each case of a suite.

    # conftest.py
    pytest_plugins = ["pointsman.testing.cases"]


    # test_interpret.py
    @pytest.mark.cases("invoice.interpret", split="test")
    def test_interpret(case): ...

The cases are those under `evals/cases` of the folder that pytest calls its root; `folder=` names another.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pointsman.evaluation.case import cases


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    told = "cases(suite, split=None, folder='evals/cases'): run the test once for each case of a suite, as its argument `case`"
    config.addinivalue_line("markers", told)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a marked test its cases. Raises `NotFound` for a suite that is not there: a gate without cases gates nothing."""
    marker = metafunc.definition.get_closest_marker("cases")
    if marker is None:
        return
    (suite,), split = marker.args, marker.kwargs.get("split")
    found = cases(Path(metafunc.config.rootpath) / marker.kwargs.get("folder", "evals/cases"), suite, split)
    metafunc.parametrize("case", found, ids=[case.case_id for case in found])
