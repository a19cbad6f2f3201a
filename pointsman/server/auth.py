"""Who is at the server's door: a bearer token of `guards/roles.toml`, or nobody.

Whoever reaches the server sees the runs; who is signed in decides as the person the token stands for. A project with its own
identity provider writes its own `Auth` and calls `guard` on it: the principal is the user's `identity`.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

from langgraph_sdk import Auth

from pointsman.errors import BadInput, NotAllowed, NotFound, PointsmanError
from pointsman.home import project_root
from pointsman.principal import Roles
from pointsman.served import principal
from pointsman.server.door import here
from pointsman.server.shown import refused

_STATUS = {NotAllowed: 403, NotFound: 404, BadInput: 422}
"""HTTP's words for errors; every other one is a conflict, 409."""

_ROOT = project_root()

_PAGES = re.compile(r"https://([a-z]+\.)?smith\.langchain\.com|https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")
"""Web pages that may speak for nobody: Studio, and what is served on this machine. Every other page that a browser here shows can reach the server too."""


def guard(auth: Auth) -> Auth:
    """Have a server refuse what it can before it begins with it, so that the thread stays as it is and the client reads why."""

    @auth.on.threads.create_run
    async def create_run(ctx: Auth.types.AuthContext, value: Any) -> None:
        try:
            if value.get("multitask_strategy") == "rollback":
                raise refused("rolled back")
            await here().check(value.get("thread_id"), value["kwargs"], principal(ctx.user))
        except PointsmanError as error:
            raise _http(error) from error

    @auth.on.threads.update
    async def update(ctx: Auth.types.AuthContext, value: Any) -> None:  # noqa: ARG001 - the server passes by name
        if value.get("action") == "rollback":
            raise _http(refused("rolled back"))

    @auth.on.threads.delete
    async def delete(ctx: Auth.types.AuthContext, value: Any) -> None:  # noqa: ARG001 - the server passes by name
        for thread_id in value.get("thread_ids") or [value["thread_id"]]:
            if await here().owner.store.one("thread_run", str(thread_id)) is not None:
                raise _http(refused("deleted"))

    @auth.on
    async def anything_else(ctx: Auth.types.AuthContext, value: Any) -> None:
        """Open to whoever reaches the server; what writes is refused where it is done."""

    return auth


auth = guard(Auth())
"""For `langgraph.json`."""


@auth.authenticate
async def authenticate(headers: dict[bytes, bytes]) -> dict[str, Any]:
    """The user a request comes from. A token that the project does not know is refused; without one it is nobody, who may not be a stranger's web page."""
    token = headers.get(b"x-api-key", b"").decode("latin-1")
    scheme, _, given = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    if scheme.lower() == "bearer":
        token = given.strip()
    name = (await asyncio.to_thread(Roles.read, _ROOT)).bearer(token) if token else None
    # Studio's page signs its requests with LangSmith's own tokens, which say nothing here.
    if token and name is None and headers.get(b"x-auth-scheme") != b"langsmith":
        raise Auth.exceptions.HTTPException(status_code=401, detail=f"the token is not in {_ROOT / 'guards' / 'roles.toml'}")
    page = headers.get(b"origin", b"").decode("latin-1")
    if name is None and page and not _PAGES.fullmatch(page):
        raise Auth.exceptions.HTTPException(status_code=403, detail=f"the page {page} asks without a token: it may be anybody's")
    return {"identity": name or "", "is_authenticated": name is not None, "display_name": name or "nobody"}


def _http(error: PointsmanError) -> Exception:
    return Auth.exceptions.HTTPException(status_code=_STATUS.get(type(error), 409), detail=str(error))
