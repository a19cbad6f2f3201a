"""What a model is to the runtime: a LangChain chat model whose HTTP call can only be reached through the gateway.

`controlled` gives a copy of a model under a subclass of its own class, so `isinstance`, `profile`, `bind_tools` and
`with_structured_output` are the model's own; what is overridden is the innermost layer, the one that calls the provider. Retries of the
client are off and LangChain's cache is off (both act where the gateway would not see them), usage is asked for in streams too.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, nullcontext
from functools import lru_cache
from types import new_class
from typing import TYPE_CHECKING, Any, ClassVar, cast

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from pointsman.body import in_thread
from pointsman.errors import BadInput, ModelBusy, ModelFailed, NotAllowed
from pointsman.model import answer
from pointsman.model.call import ModelCall
from pointsman.model.choice import check, choose, direct, model_data
from pointsman.model.failure import failure
from pointsman.model.payload import output_cap, payload_of
from pointsman.tool import RESULT_BYTES, passed, port, running_loop

__all__ = ["TIMEOUT", "ModelCall", "check", "choose", "controlled", "model_data", "target_of"]

TIMEOUT = 60.0
"""Seconds after which a call of a model is given up where nothing else is said."""

if TYPE_CHECKING:
    _Base = BaseChatModel
else:
    _Base = object


_calling: contextvars.ContextVar[Any] = contextvars.ContextVar("pointsman_calling", default=None)
"""The model whose own class calls its provider here: what that calls of itself belongs to the same call."""


def controlled(model: BaseChatModel, *, timeout: float = TIMEOUT, max_tokens: int | None = None) -> BaseChatModel:
    """A copy of `model` behind the gateway; `max_tokens` caps its answers where it has no lower cap itself. Raises `BadInput` where it cannot be put there."""
    if isinstance(model, _Door):
        return model
    fields = type(model).model_fields
    own = {"cache": False, "max_retries": 0, "stream_usage": True}
    changes: dict[str, Any] = {name: value for name, value in own.items() if name in fields}
    for client in ("root_async_client", "root_client"):
        if getattr(model, client, None) is not None:
            options = direct(model) if client == "root_async_client" else {}  # the other one is never called
            changes[client] = getattr(model, client).with_options(max_retries=0, **options)
            changes[client.removeprefix("root_")] = changes[client].chat.completions
    if max_tokens is not None and "max_tokens" in fields:
        changes["max_tokens"] = min(max_tokens, getattr(model, "max_tokens", None) or max_tokens)
    copy = model.model_copy(update=changes)
    try:
        object.__setattr__(copy, "__class__", _behind_the_door(type(model), timeout))
    except TypeError as error:
        raise BadInput(
            f"a {type(model).__name__} cannot be put behind the gateway: {error}", remedy="use a pydantic chat model such as ChatOpenAI"
        ) from error
    return copy


@lru_cache(maxsize=64)  # pydantic takes some ten milliseconds to make a class
def _behind_the_door(base: type[BaseChatModel], timeout: float) -> type[BaseChatModel]:
    members = {"__module__": base.__module__, "__annotations__": {"door_timeout": ClassVar[float]}, "door_timeout": timeout}
    return cast(type[BaseChatModel], new_class(base.__name__, (_Door, base), {}, lambda space: space.update(members)))


def target_of(model: BaseChatModel) -> str:
    """`provider:name`, as policies and records name a model."""
    return cast(_Door, model).named()[0]


class _Door(_Base):
    """The innermost layer of a controlled model. `super()` is the model's own class, which calls the provider."""

    door_timeout: ClassVar[float]

    def named(self) -> tuple[str, str, str]:
        """Target, provider and name."""
        told = self._get_ls_params()
        provider, name = str(told.get("ls_provider") or self._llm_type), str(told.get("ls_model_name") or type(self).__name__)
        return f"{provider}:{name}", provider, name

    async def _agenerate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **options: Any
    ) -> ChatResult:
        own: Any = super()
        if _calling.get() is self:
            return cast(ChatResult, await own._agenerate(messages, stop, run_manager, **options))
        wanted = options.get("response_format")

        async def once(sent: Mapping[str, Any]) -> dict[str, Any]:
            return await self._door_whole(messages, stop, sent)

        gate = _gate(self)
        kept = await passed(gate, gate.call_model(self._door_call(messages, stop, options, once)))
        return ChatResult(generations=[ChatGeneration(message=answer.message(kept, wanted))])

    async def _astream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **options: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        """What arrives is passed on while it arrives, and is one answer on record; an answer from the record is one chunk."""
        own: Any = super()
        inner = _calling.get() is self
        if not inner and running_loop() is not _gate(self).loop:  # parts could not be handed over from one loop to another
            yield _in_one(await self._agenerate(messages, stop, **_whole(options)))
            return
        parts = own._astream(messages, stop, run_manager, **options) if inner else self._door_stream(messages, stop, options)
        async with aclosing(parts):
            async for part in parts:
                yield part

    async def _door_stream(
        self, messages: list[BaseMessage], stop: list[str] | None, options: Mapping[str, Any]
    ) -> AsyncGenerator[ChatGenerationChunk, None]:
        wanted = options.get("response_format")
        arrived: asyncio.Queue[ChatGenerationChunk | None] = asyncio.Queue()

        async def once(sent: Mapping[str, Any]) -> dict[str, Any]:
            whole: ChatGenerationChunk | None = None
            size = 0
            async with aclosing(self._door_parts(messages, stop, sent)) as parts:
                async for part in parts:
                    size += answer.size(part)
                    if size > RESULT_BYTES:  # it may never end
                        raise ModelFailed(f"{self.named()[0]}: the answer has more than {RESULT_BYTES} characters")
                    whole = part if whole is None else whole + part
                    arrived.put_nowait(part)
            kept = {} if whole is None else answer.record(whole)
            if not kept.get("finish"):
                raise ModelBusy(f"{self.named()[0]}: the stream ended before the answer did")
            return kept

        call = self._door_call(messages, stop, options, once)
        gate, context = _gate(self), contextvars.copy_context()
        before = dict(context.items())
        task = asyncio.create_task(gate.call_model(call), context=context)
        task.add_done_callback(lambda _: arrived.put_nowait(None))
        streamed = False
        try:
            while (part := await arrived.get()) is not None:
                streamed = True
                yield part
            kept = await task
        finally:
            task.cancel()  # the gateway finishes what is under way all the same
            for variable, value in context.items():  # what the call noted holds for the caller too, as if there had been no task
                if before.get(variable) is not value:
                    variable.set(value)
        last = answer.chunk(kept, wanted)
        if not streamed:
            yield ChatGenerationChunk(message=last)
        elif last.additional_kwargs:
            yield ChatGenerationChunk(message=AIMessageChunk(content="", additional_kwargs=last.additional_kwargs))

    def _generate(self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **options: Any) -> ChatResult:
        """From a worker thread; refused on the loop's own thread, where it would wait for itself."""
        own: Any = super()
        if _calling.get() is self:
            return cast(ChatResult, own._generate(messages, stop, run_manager, **options))
        gate = _gate(self)
        if running_loop() is not None:
            raise NotAllowed(
                f"model {self.named()[0]} was called synchronously on the event loop's thread",
                undone="the call was not made",
                remedy="await it (`ainvoke`), or make the node a plain `def`",
            )
        return asyncio.run_coroutine_threadsafe(self._agenerate(messages, stop, **options), gate.loop).result()

    def _stream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **options: Any
    ) -> Iterator[ChatGenerationChunk]:
        """As `_generate`, with the whole answer as one chunk."""
        own: Any = super()
        if _calling.get() is self:
            yield from own._stream(messages, stop, run_manager, **options)
        else:
            yield _in_one(self._generate(messages, stop, **_whole(options)))

    def _door_call(
        self, messages: list[BaseMessage], stop: list[str] | None, options: Mapping[str, Any], once: Callable[[Mapping[str, Any]], Any]
    ) -> ModelCall:
        payload = payload_of(self, messages, stop, options)
        if int(payload.get("n") or 1) > 1:
            raise BadInput("a model call asks for one answer, not for several (n)", undone="the call was not made", remedy="leave n out")
        target, provider, name = self.named()

        async def perform(key: str) -> dict[str, Any]:
            _calling.set(self)
            try:
                return cast(dict[str, Any], await once(_sent(self, payload, options, key)))
            except Exception as error:
                raise failure(target, error) from error

        client = getattr(self, "root_async_client", None)
        url = str(client.base_url) if client is not None else str(getattr(self, "base_url", "") or "")
        return ModelCall(
            target=target, model=name, provider=provider, base_url=url, payload=payload,
            output_tokens=output_cap(payload), timeout=self.door_timeout, perform=perform, plain=self._is_plain(),
        )  # fmt: skip

    def _create_chat_result(self, response: Any, *others: Any, **options: Any) -> ChatResult:
        own: Any = super()
        unread = answer.set_aside(response)
        result = cast(ChatResult, own._create_chat_result(response, *others, **options))
        answer.put_back(result, unread)
        return result

    def _convert_chunk_to_generation_chunk(self, chunk: Any, *others: Any, **options: Any) -> ChatGenerationChunk | None:
        own: Any = super()
        made = cast("ChatGenerationChunk | None", own._convert_chunk_to_generation_chunk(chunk, *others, **options))
        answer.refuse(made, chunk)
        return made

    def _is_plain(self) -> bool:
        own: Any = super()
        return own._agenerate.__func__ is BaseChatModel._agenerate

    async def _door_whole(self, messages: list[BaseMessage], stop: list[str] | None, sent: Mapping[str, Any]) -> dict[str, Any]:
        """The provider's whole answer; from a thread where the model's class is synchronous, since LangChain's way to one leads back here."""
        own: Any = super()
        if self._is_plain():
            result = await in_thread(own._generate, messages, stop=stop, **sent)
        else:
            result = await own._agenerate(messages, stop=stop, **sent)
        return answer.record(result.generations[0], result.llm_output)

    async def _door_parts(
        self, messages: list[BaseMessage], stop: list[str] | None, sent: Mapping[str, Any]
    ) -> AsyncGenerator[ChatGenerationChunk, None]:
        """The provider's own stream, or its whole answer as one part where the model's class has none."""
        own: Any = super()
        if own._astream.__func__ is BaseChatModel._astream:
            kept = await self._door_whole(messages, stop, sent)
            yield ChatGenerationChunk(message=answer.chunk({"finish": "stop", **kept}))
            return
        parts = own._astream(messages, stop=stop, **sent)
        async with aclosing(parts) if isinstance(parts, AsyncGenerator) else nullcontext():
            async for part in parts:
                yield part


def _in_one(result: ChatResult) -> ChatGenerationChunk:
    told = result.generations[0].message.model_dump(exclude={"type"})
    return ChatGenerationChunk(message=AIMessageChunk(**{**told, "chunk_position": "last"}))


def _whole(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: option for name, option in options.items() if name != "stream"}


def _gate(model: _Door) -> Any:
    gate = port.get()
    if gate is None:
        raise NotAllowed(
            f"model {model.named()[0]} was called outside a step",
            undone="the call was not made",
            remedy="call it from a node of a running workflow",
        )
    return gate


def _sent(model: _Door, payload: Mapping[str, Any], options: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The options that the model's own class is called with: under an idempotency key, and with the answer's form as plain data.

    Given a response format, OpenAI's client reads the answer itself and raises on what does not fit, usage and all; in `extra_body` it
    reaches the server the same and the answer reaches us as it is.
    """
    sent = _whole(options)
    if getattr(model, "root_async_client", None) is None:
        return sent
    sent["extra_headers"] = {**(sent.get("extra_headers") or {}), "Idempotency-Key": key}
    if "response_format" in sent and "messages" in payload:
        del sent["response_format"]
        sent["extra_body"] = {**(sent.get("extra_body") or {}), "response_format": payload["response_format"]}
    return sent
