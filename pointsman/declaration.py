"""What a tool declares, held against its function: what cannot hold is refused where it is written, not found out after a crash."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo

from pointsman import canonical
from pointsman.body import is_async
from pointsman.errors import BadInput

_TAKEN = {"self", "config", "callbacks", "run_manager", *(name for name in dir(BaseModel) if name.startswith("model_"))}
"""Names under which LangChain gives a tool things of its own, or pydantic keeps its own."""


def name_of(function: Callable[..., Any]) -> str:
    """The name of a function that can be a tool's body."""
    name = getattr(function, "__name__", "")
    if not inspect.isroutine(function) or not name:
        raise BadInput(f"{function!r} cannot be a tool", remedy="give @tool a function, `def` or `async def`")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise BadInput(f"tool {name!r} is a generator, which does nothing until somebody draws from it", remedy="return a list")
    return name


def description_of(function: Callable[..., Any], name: str) -> str:
    """Its docstring."""
    description = inspect.getdoc(function)
    if not description:
        raise BadInput(f"tool {name!r} has no docstring", remedy="say in one what it does: people and models read it")
    return description


def types_of(function: Callable[..., Any], name: str) -> dict[str, Any]:
    """The types of its parameters and of what it returns."""
    try:
        return get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise BadInput(f"tool {name!r} has a type that cannot be found: {error}", remedy="import it in the tool's module") from error


def returns_of(types: Mapping[str, Any], name: str) -> TypeAdapter[Any]:
    """What it returns, as what reads that back."""
    try:
        return TypeAdapter(types.get("return", Any))
    except PydanticUserError as error:
        raise BadInput(
            f"tool {name!r} returns a type that cannot be put on record: {error.message.partition(chr(10))[0]}",
            remedy="return JSON types, a dataclass or a pydantic model",
        ) from error


def arguments_of(function: Callable[..., Any], name: str, types: Mapping[str, Any], key: str | None) -> type[BaseModel]:
    """Its public arguments, as a model: all parameters but the one that receives the idempotency key."""
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY) or parameter.name not in types:
            raise BadInput(
                f"parameter {parameter.name!r} of tool {name!r} has no type, or cannot be given by name",
                remedy="annotate it; *args, **kwargs and what stands before a / are not accepted",
            )
        if parameter.name.startswith("_") or parameter.name in _TAKEN:
            raise BadInput(f"tool {name!r} cannot have a parameter {parameter.name!r}: the name is taken", remedy="give it another name")
        if parameter.name != key:
            _check_default(parameter, name, types[parameter.name])
            fields[parameter.name] = (types[parameter.name], ... if parameter.default is parameter.empty else parameter.default)
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    arguments: type[BaseModel] = create_model(name, __config__=config, __doc__=description_of(function, name), **fields)
    try:
        arguments.model_json_schema()
    except PydanticUserError as error:
        raise BadInput(
            f"an argument of tool {name!r} has a type that nobody outside can give: {error.message.partition(chr(10))[0]}",
            remedy="take JSON types, a dataclass or a pydantic model",
        ) from error
    return arguments


def _check_default(parameter: inspect.Parameter, name: str, type_: Any) -> None:
    default = parameter.default
    if default is parameter.empty or default is None or isinstance(default, FieldInfo):
        return
    try:
        canonical.encode(default)
        TypeAdapter(type_, config=None).validate_python(default)
    except PydanticUserError:
        return  # the type as a whole is looked at where the model is made
    except (BadInput, ValidationError) as error:
        raise BadInput(
            f"the default of parameter {parameter.name!r} of tool {name!r} is no value of its type", remedy="mend one of them"
        ) from error


def check_numbers(name: str, timeout: Any, result_bytes: Any) -> None:
    """That a call ends, and that something of its result is kept."""
    if not _is_number(timeout) or not 0 < timeout < math.inf:
        raise BadInput(f"tool {name!r} declares a timeout of {timeout} seconds", remedy="give it a number above 0, and an end")
    if not _is_number(result_bytes) or not isinstance(result_bytes, int) or result_bytes < 1:
        raise BadInput(f"tool {name!r} declares results of at most {result_bytes} bytes", remedy="give it a whole number above 0")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_names(name: str, arguments: type[BaseModel], types: Mapping[str, Any], sinks: Any, key: Any) -> None:
    """That `sinks` and `key` name parameters; sinks those that callers give, the key one that takes a text."""
    if not isinstance(sinks, tuple | list) or not all(isinstance(sink, str) for sink in sinks):
        raise BadInput(f"sinks= of tool {name!r} is {sinks!r}", remedy="give a tuple of names, for example sinks=('to',)")
    parameters = types.keys() - {"return"}
    unknown = [sink for sink in sinks if sink not in arguments.model_fields]
    unknown += [str(key)] if key is not None and (not isinstance(key, str) or key not in parameters) else []
    if unknown:
        raise BadInput(
            f"tool {name!r} has no parameter {', '.join(unknown)} that callers give",
            remedy="name parameters of the function in sinks= and key=",
        )
    if key is None:
        return
    try:
        TypeAdapter(types[key]).validate_python("f" * 64)
    except ValidationError as error:
        raise BadInput(f"key= of tool {name!r} names a parameter that takes no text", remedy="annotate it: str") from error


def check_probe(name: str, arguments: type[BaseModel], probe: Any, *, is_effect: bool) -> None:
    """That what is asked after a crash can be asked: an async function of the same arguments."""
    if probe is None:
        return
    if not is_effect:
        raise BadInput(f"reconcile= of tool {name!r} would never be asked: a read is sent again", remedy="leave it out")
    if not callable(probe) or not is_async(probe):
        raise BadInput(f"reconcile= of tool {name!r} is no async function", remedy="give it `async def` with the tool's arguments")
    try:
        inspect.signature(probe).bind(**dict.fromkeys(arguments.model_fields))
    except TypeError as error:
        raise BadInput(
            f"reconcile= of tool {name!r} cannot be given its arguments: {error}", remedy="give it the tool's parameters, without the key"
        ) from error
