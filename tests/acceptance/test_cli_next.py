"""What is printed to be typed next can be typed: for a graph that `langgraph.json` does not name, and where `pointsman` is not on the path."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.test_cli_project import Project

LOOSE = '''"""A workflow that no langgraph.json names."""

from langgraph.graph import END, START
from typing_extensions import TypedDict

from pointsman import Policy, Workflow, allow, ask, effect, tool
from pointsman.errors import Unavailable


class State(TypedDict, total=False):
    item: str
    receipt: str


@tool(effect="send", key="key")
def fetch_back(item: str, result: str, key: str = "") -> str:
    """Fetch it back."""
    return f"fetched {item}"


@tool(effect="send", key="key", compensate=fetch_back)
def send(item: str, key: str = "") -> str:
    """Send it."""
    if item == "nothing":
        raise Unavailable("the shop is closed")
    return f"sent {item}"


flow = Workflow(State, name="loose", policy=Policy(ask(send, role="sender"), allow(fetch_back)))
flow.add_node("send", effect(send, reads=("item",), writes="receipt"))
flow.add_edge(START, "send")
flow.add_exits("send", done=END, default=END)
graph = flow.compile()
'''


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    root = Path(tempfile.mkdtemp(prefix="pm-"))
    made = Project(root)
    (root / "loose.py").write_text(LOOSE)
    (root / "guards" / "roles.toml").write_text('allow_as = true\n[roles]\nsender = ["dana"]\n')
    yield made
    made.close()
    shutil.rmtree(root, ignore_errors=True)


def next_of(printed: str) -> list[list[str]]:
    """The commands that a page ends with, without the program's name."""
    return [shlex.split(line)[1:] for line in printed.partition("\nNext\n")[2].splitlines() if line.startswith("  pointsman ")]


def test_commands_for_a_graph_that_langgraph_json_does_not_name_say_where_it_is(project: Project) -> None:
    started = project.run("run", "loose.py:graph", "--input", '{"item": "a chair"}')
    approve = next_of(started.out)[0]
    assert (approve[0], approve[-2:]) == ("approve", ["--graph", "loose.py:graph"])
    refused = project.run(*approve)
    assert "can be claimed at the command line: dana" in " ".join(refused.err.split())
    for look in (("inbox",), ("show", project.run_of("waiting")[:8])):
        assert [command[-2:] for command in next_of(project.run(*look).out)[:3]] == [["--graph", "FILE:VAR"]] * 3
    done = project.run(*approve, "--as", "dana")
    assert (done.code, "sent a chair" in done.out) == (0, True)
    run = project.run_of("done")[:8]
    lost = project.run("compensate", run)
    assert (lost.code, "with --graph" in lost.err) == (2, True)
    undone = project.run("compensate", run, "--graph", "loose.py:graph")
    assert (undone.code, "loose.compensation · done" in undone.out) == (0, True), undone


def test_a_run_that_parked_with_an_error_of_ours_is_tried_again_without_a_word_of_langgraphs(project: Project) -> None:
    asked = next_of(project.run("run", "loose.py:graph", "--input", '{"item": "nothing"}').out)[0]
    assert project.run(*asked, "--as", "dana").code == 1
    resume = next(command for command in next_of(project.run("show", project.run_of("parked")[:8]).out) if command[0] == "resume")
    again = project.run(*resume[:2], "--graph", "loose.py:graph")
    assert (again.code, again.err) == (0, ""), "it asks again: the yes was used up"


def test_a_program_that_is_not_on_the_path_is_called_by_the_path_it_was_called_by(project: Project) -> None:
    script = Path(sys.executable).with_name("pointsman")
    (project.root / "bin").mkdir()
    shutil.copy(script, project.root / "bin")

    def printed(program: str, path: str, *args: str) -> str:
        environment = os.environ | project.env | {"PATH": path}
        return subprocess.run([program, *args], cwd=project.root, env=environment, capture_output=True, text=True, check=True).stdout

    assert "\n  bin/pointsman run refund " not in (told := printed("bin/pointsman", "/usr/bin", "new", "one"))
    assert f"\n  {project.root}/bin/pointsman run refund " in told
    assert "\n  pointsman run refund " in printed("pointsman", f"{project.root}/bin:/usr/bin", "new", "two")
    assert "\n  bin/pointsman run GRAPH " in printed("bin/pointsman", "/usr/bin", "runs", "--graph", "none")


def test_it_speaks_where_the_locale_knows_ascii_alone(project: Project) -> None:
    bare = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    told = subprocess.run(
        [sys.executable, "-m", "pointsman.cli", "runs"],
        cwd=project.root,
        env=os.environ | project.env | bare,
        capture_output=True,
        check=False,
    )
    assert (told.returncode, told.stderr) == (0, b"")
