"""A node in which a model decides the next step, inside a fence: which tools, how many turns, at what cost, and how it may end.

The loop is LangChain's `create_agent`, as a subgraph that Studio shows. What holds it is ours: every call passes the gateway at the
innermost place (`fence.py`), caps are accounts of the run, whether it gets on is read from the record (`progress.py`), what the model is
told of a call is made by the runtime (`observation.py`). Whatever the model or a tool does, the node ends by a declared exit.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel

from pointsman import canonical
from pointsman.errors import BadInput
from pointsman.limit import Limits
from pointsman.model import TIMEOUT, check, model_data
from pointsman.node import Node
from pointsman.node.agent.observation import SHOWN
from pointsman.node.agent.terms import Terms
from pointsman.node.prompt import Prompt
from pointsman.node.reply import Form
from pointsman.tool import Tool

EXITS = ("answered", "abstained", "needs_person", "limit", "loop", "tool_failure", "denied", "unavailable")

TURNS = 8
"""How often a model is asked where the agent does not say; the last turn is for the answer."""

MAX_TOKENS = 2_000
"""The most tokens an answer may have where the agent does not say."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def agent(
    *,
    reads: tuple[str, ...],
    writes: str,
    returns: Any,
    prompt: str,
    tools: tuple[Tool, ...] = (),
    effects: tuple[Tool, ...] = (),
    agents: Mapping[str, Node] | None = None,
    model: BaseChatModel | str | None = None,
    limits: Limits | None = None,
    turns: int = TURNS,
    max_tokens: int = MAX_TOKENS,
    timeout: float = TIMEOUT,
    retries: int = 1,
    shown: int = SHOWN,
    middleware: tuple[Any, ...] = (),
    description: str = "",
) -> Node:
    """An agent node: a model works on a task with tools and puts its answer, a `returns`, into the field `writes`.

    `reads`, `prompt`, `model`, `max_tokens`, `timeout`, `retries` as in `infer`. `tools` are those that only read; one that changes the world has
    to be named in `effects`, and the policy still decides on each call (nothing matches: denied). `agents` are agents below it, by the name that
    the model calls them by: made with `agent(reads=("task",), description=…)`, within its tools, its limits and its policy. The model is asked at
    most `turns` times, the last time without tools; `shown` caps the characters it is shown of a result; an answer that does not fit is shown to
    it once, for one repair. `limits` cap all executions of the node; where they name neither, one execution makes at most
    (turns + 1) × (retries + 1) calls of models and 4 × turns of tools, and asks people 4 × turns times; what the runtime looks at for
    their cards is apart, as often. `middleware` is LangChain's, inside the fence.

    Exits `answered abstained needs_person limit loop tool_failure denied unavailable`. Raises `BadInput` for a declaration that cannot hold.
    """
    if importlib.util.find_spec("langchain") is None:
        raise BadInput("agent(…) needs LangChain, which is not installed", remedy="pip install 'pointsman[agents]'")
    check(model)
    _check_fields(reads, writes)
    terms = Terms(turns=turns, max_tokens=max_tokens, timeout=timeout, retries=retries, shown=shown)
    _check_tools(tools, effects, agents or {})
    from pointsman.node.agent.middleware import code
    from pointsman.node.agent.running import Running

    listed = {tool.name: tool for tool in (*tools, *effects)}
    running = Running(Prompt.of(prompt, reads), Form(returns, person=True), writes, listed, dict(agents or {}), terms, middleware)
    declared = {
        "prompt": canonical.digest([running.system, running.prompt.text]), "form": running.form.response_format, "terms": terms.data(),
        "middleware": running.settings,
        "agents": {
            name: [part.description, dict(part.declared or {}), model_data(part.model), (part.limits or Limits()).data()]
            for name, part in (agents or {}).items()
        },
    }  # fmt: skip
    below = (part for one in (agents or {}).values() for part in one.code)
    node = Node(
        kind="agent", subject=running.graph, execute=running, reads=reads, writes=(writes,), tools=frozenset(listed),
        code=(returns, *(part for given in middleware for part in code(given)), *below),
        contracts=tuple(tool.contract for tool in listed.values()), exits=EXITS, limits=limits, model=model, declared=declared,
        description=description,
    )  # fmt: skip
    running.node = node
    return node


def _check_fields(reads: Any, writes: str) -> None:
    if isinstance(reads, str) or not reads or not all(name.isidentifier() for name in (*reads, writes)):
        raise BadInput(
            f"agent(reads={reads!r}, writes={writes!r}) does not name fields", remedy='agent(reads=("text",), writes="field", …)'
        )


def _check_tools(tools: tuple[Tool, ...], effects: tuple[Tool, ...], agents: Mapping[str, Node]) -> None:
    for given in (*tools, *effects):
        if not isinstance(given, Tool):
            raise BadInput(
                f"{getattr(given, 'name', given)!r} has no contract: nobody knows what it does to the world",
                remedy="make it with pointsman's @tool",
            )
    for given in tools:
        if given.contract.is_effect:
            raise BadInput(
                f"agent lists {given.name!r} in tools=, which is an effect ({given.contract.effect})",
                remedy="an agent has no effects unless they are meant: name it in effects=, and let the policy decide on its calls",
            )
    for given in effects:
        if not given.contract.is_effect:
            raise BadInput(f"agent lists {given.name!r} in effects=, which only reads", remedy="name it in tools=")
    odd = [name for name in agents if not _NAME.fullmatch(name)]
    if odd:
        raise BadInput(
            f"agents= has the name {odd[0]!r}, which no provider takes and no position can hold",
            remedy="use letters, digits, _ and -, at most 64",
        )
    names = [given.name for given in (*tools, *effects)] + list(agents)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadInput(f"agent lists {', '.join(twice)} twice", remedy="a name stands for one tool")
