"""A chat model that plays a script without any network: what a test wants a model to say, tool calls and all."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models.base import LanguageModelInput
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import PrivateAttr

Line = AIMessage | Exception
Script = Sequence[Line] | Callable[[list[BaseMessage], list[str]], Line]
"""What it says: a line for each turn, the last one for all further turns; or a function of the messages and of the names of the tools it is offered."""


class ScriptedModel(BaseChatModel):
    """A LangChain chat model that says what its script says.

    Which line of a sequence comes is told by how many answers of a model the conversation holds, so a run that is continued in another process
    goes on in the script where it was. `seen` are the conversations it was asked, `offered` the tools it was offered each time.
    """

    name_: str = "scripted"
    max_tokens: int | None = None
    """The cap that it is told: without one, no cap on tokens or money lets it be asked."""
    _script: Script = PrivateAttr()
    _seen: list[list[BaseMessage]] = PrivateAttr(default_factory=list)
    _offered: list[list[str]] = PrivateAttr(default_factory=list)

    def __init__(self, script: Script, **more: Any) -> None:
        super().__init__(**more)
        self._script = script

    @property
    def seen(self) -> list[list[BaseMessage]]:
        """The conversations it was asked, in order."""
        return self._seen

    @property
    def offered(self) -> list[list[str]]:
        """The names of the tools it was offered each time."""
        return self._offered

    @property
    def _llm_type(self) -> str:
        return "scripted"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"name": self.name_} | ({} if self.max_tokens is None else {"max_tokens": self.max_tokens})

    def _get_ls_params(self, stop: list[str] | None = None, **options: Any) -> Any:
        return {"ls_provider": "scripted", "ls_model_name": self.name_, "ls_model_type": "chat"}

    def bind_tools(self, tools: Sequence[Any], *, tool_choice: Any = None, **options: Any) -> Runnable[LanguageModelInput, AIMessage]:
        """Offer it tools."""
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **options)

    def _line(self, messages: list[BaseMessage], options: dict[str, Any]) -> AIMessage:
        offered = [tool["function"]["name"] for tool in options.get("tools", ())]
        self._seen.append(list(messages))
        self._offered.append(offered)
        if callable(self._script):
            line = self._script(messages, offered)
        else:
            turn = sum(1 for message in messages if isinstance(message, AIMessage))
            line = self._script[min(turn, len(self._script) - 1)]
        if isinstance(line, Exception):
            raise line
        size = sum(len(message.text) for message in messages) // 4 + 1
        usage = {"input_tokens": size, "output_tokens": len(line.text) // 4 + 1}
        return line.model_copy(
            update={
                "usage_metadata": line.usage_metadata or {**usage, "total_tokens": sum(usage.values())},
                "response_metadata": {"finish_reason": "tool_calls" if line.tool_calls else "stop", **line.response_metadata},
            }
        )

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **options: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._line(messages, options))])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **options: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._line(messages, options))])

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **options: Any,
    ) -> Any:
        """A word at a time, then its calls, then what it used."""
        line = self._line(messages, options)
        for word in line.text.split(" ") if line.text else ():
            yield ChatGenerationChunk(message=AIMessageChunk(content=f"{word} "))
        calls = [
            tool_call_chunk(
                name=call["name"],
                args=call["args"] if isinstance(call["args"], str) else json.dumps(call["args"]),
                id=call["id"],
                index=place,
            )
            for place, call in enumerate([*line.tool_calls, *line.invalid_tool_calls])
        ]
        last = AIMessageChunk(
            content="",
            tool_call_chunks=calls,
            usage_metadata=line.usage_metadata,
            response_metadata=line.response_metadata,
            chunk_position="last",
        )
        yield ChatGenerationChunk(message=last)


def calls(*asked: tuple[str, Any], text: str = "") -> AIMessage:
    """A model's message that calls tools: names and arguments, a mapping or what a model wrote instead of one."""
    good = [{"name": name, "args": args, "id": f"call_{place}"} for place, (name, args) in enumerate(asked) if isinstance(args, dict)]
    bad = [
        {"name": name, "args": args, "id": f"call_{place}", "error": "no JSON", "type": "invalid_tool_call"}
        for place, (name, args) in enumerate(asked)
        if not isinstance(args, dict)
    ]
    return AIMessage(text, tool_calls=good, invalid_tool_calls=bad)


def says(**filled: Any) -> AIMessage:
    """A model's last message: `says(answer=…)`, `says(abstain=…)`, `says(needs_person=…)`."""
    return AIMessage(json.dumps(filled))
