import pytest
from typing_extensions import TypedDict
from pointsman import Workflow
from langgraph.graph import START, END
class S(TypedDict, total=False):
    n: int
def inc(state: S) -> S:
    return {"n": state["n"]+1}
def graph():
    f=Workflow(S, name="probe"); f.add_node("inc", inc); f.add_edge(START,"inc"); f.add_edge("inc",END); return f.compile()
@pytest.mark.anyio
@pytest.mark.parametrize("i", range(6))
async def test_run(open_runs, i):
    async with open_runs(graph()) as runs:
        run = await runs.start("probe", {"n": i})
        assert (await run.settled()).state == "done"
