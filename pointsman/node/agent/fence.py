"""What stands around every turn of an agent: two middlewares of LangChain's agent, outside and inside of all others.

The inner one is the last thing before the model and before a tool: whatever retries, falls back, selects or jumps further out, each call
passes the gateway there, once. The outer one turns how a call ended into what the model is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse, ToolCallRequest
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.types import Command

from pointsman.errors import PointsmanError
from pointsman.gateway import Gateway
from pointsman.gateway.guarding import examined
from pointsman.gateway.position import visit_of
from pointsman.gateway.step import Step
from pointsman.model import controlled
from pointsman.node.agent import attempt, observation
from pointsman.node.agent.progress import REPEATS, Progress
from pointsman.node.agent.terms import Terms
from pointsman.node.patience import patiently
from pointsman.tool import Contract

_LAST = "This is your last turn: tools are closed. Give your answer now, as JSON of the form only."


@dataclass(slots=True)
class Working:
    """What one step has made of one task for an agent below: whoever asks there for the same one again means this."""

    graph: int | None = None
    """The how-manieth graph of the step works on it; None before it has begun."""
    result: Any = None
    """What came of it; None while nothing has."""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


Delegate = Callable[[str, Any, Working], Awaitable[Any]]
"""Runs an agent below on a task, under LangGraph's config of the tool's step."""


class Ended(PointsmanError):
    """The agent has come to an exit; its model is not asked again."""

    def __init__(self, exit: str, reason: str) -> None:
        super().__init__(reason)
        self.exit = exit


@dataclass(slots=True)
class Execution:
    """One execution of an agent, as its steps know it."""

    name: str
    gateway: Gateway
    step: Step
    model: BaseChatModel
    progress: Progress
    contracts: Mapping[str, Contract]
    agents: Mapping[str, Delegate]
    terms: Terms
    tasks: dict[tuple[str, str, str], Working] = field(default_factory=dict)
    """By the namespace of the step that gave it, the agent, and the task."""

    @property
    def over(self) -> str:
        """What is said where its turns are used up."""
        return f"agent {self.name} may take {self.terms.turns} turns"


execution: ContextVar[Execution] = ContextVar("pointsman_agent")
"""The agent whose graph is being run here."""


class Outside(AgentMiddleware[Any, Any]):
    """The outermost: the model that was chosen for this run goes in, what the model may be told of a call comes out."""

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """Put the run's model in the place of the one that the graph was built with."""
        return await handler(request.override(model=execution.get().model))

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]]
    ) -> ToolMessage | Command[Any]:
        """Tell the model of a call that has no result."""
        call = request.tool_call
        try:
            return await handler(request)
        except observation.SEEN as error:
            text = observation.refusal(call["name"], error, execution.get().terms.shown)
            return ToolMessage(text, name=call["name"], tool_call_id=call["id"], status="error")


class Inside(AgentMiddleware[Any, Any]):
    """The innermost: each call of a model and of a tool passes the gateway here."""

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """One turn: asked within the turns it may take, again while the provider is busy."""
        running = execution.get()
        step = running.gateway.steps.here()
        ended = running.progress.ended()
        if ended is not None:
            why = Ended(*ended)
            await running.gateway.steps.refused(step, why)
            raise why
        turn = visit_of(step.position)
        step.closed = running.over if turn > running.terms.turns else ""
        asked = request.override(model=controlled(request.model, timeout=running.terms.timeout, max_tokens=running.terms.max_tokens))
        if turn >= running.terms.turns:
            asked = asked.override(tools=[], messages=[*request.messages, HumanMessage(_LAST)])
        response, _ = await patiently(lambda: handler(asked), step, running.terms.retries, running.terms.timeout)
        told = [attempt.numbered(part, turn) if isinstance(part, AIMessage) else part for part in response.result]
        return ModelResponse(result=told)

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]]
    ) -> ToolMessage:
        """One call of a tool, or of an agent below; never by way of LangChain, which would check it out of sight."""
        running = execution.get()
        name, arguments, call_id = request.tool_call["name"], request.tool_call["args"], request.tool_call["id"]
        step = running.gateway.steps.here()
        is_task = name in running.agents
        wanted = attempt.task(name, arguments) if is_task else attempt.request(name, arguments, running.contracts.get(name))
        turn = max(running.progress.turn(), visit_of(step.position))  # a middleware may have answered without asking the model
        step.closed = running.over if turn >= running.terms.turns else ""
        asked = wanted if is_task else examined(wanted, step)[1]  # as the record will have it
        times = running.progress.repeats(asked.target, running.gateway.journal.payload_of(asked.public), step.position)
        step.closed = step.closed or (f"agent {running.name} has made this call before, {REPEATS - 1} times" if times >= REPEATS else "")
        if is_task and not (wanted.invalid or step.closed):
            value = await _delegated(running, step, name, str(wanted.public), request.runtime.config)
        else:
            value = await running.gateway.call(wanted, step)
        return ToolMessage(observation.result(name, value, running.terms.shown), name=name, tool_call_id=call_id)


async def _delegated(running: Execution, step: Step, name: str, task: str, config: Any) -> Any:
    """What comes of a task: its model asked for it once, so it is given once, whatever tries it again."""
    place = (step.ns, name, task)
    if place in running.tasks:
        step.again += 1
        await running.gateway.steps.made(step)
    working = running.tasks.setdefault(place, Working())
    async with working.turn:
        if working.result is None:
            for one in step.and_below():
                one.left = one is not step and working.graph is not None
            working.result = await running.agents[name](task, config, working)
        return working.result
