"""The admin endpoints for users; they require a service key."""

from __future__ import annotations

import re
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from local.auth import accounts
from local.auth.accounts import Connection
from local.auth.sessions import Sessions, read_email, read_metadata, read_password, require_account

_PAGE_NUMBER = re.compile("[1-9][0-9]{0,3}")


class Admin:
    """Handlers of /admin/users."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def list(self, connection: Connection, request: Request, _body: dict[str, Any]) -> Any:
        """A page of users."""
        self._sessions.require_admin(request)
        number, size = _number(request, "page", 1), _number(request, "per_page", 50)
        page_of_users = {"users": await accounts.page(connection, number, size), "aud": "authenticated"}
        total = await accounts.count(connection)
        last = max(1, -(-total // size))
        pages = ([(number + 1, "next")] if number < last else []) + [(last, "last")]
        links = (f'<{request.url.path}?page={page}&per_page={size}>; rel="{name}"' for page, name in pages)
        return JSONResponse(page_of_users, headers={"x-total-count": str(total), "link": ", ".join(links)})

    async def create(self, connection: Connection, request: Request, body: dict[str, Any]) -> Any:
        """A new user, confirmed when `email_confirm` is true."""
        self._sessions.require_admin(request)
        user_id = await accounts.create(
            connection,
            email=read_email(body),
            password=read_password(body),
            user_metadata=read_metadata(body, "user_metadata"),
            app_metadata=read_metadata(body, "app_metadata"),
            is_confirmed=bool(body.get("email_confirm")),
            user_id=body.get("id"),
        )
        return (await require_account(connection, user_id)).user

    async def get(self, connection: Connection, request: Request, _body: dict[str, Any]) -> Any:
        """One user."""
        self._sessions.require_admin(request)
        return (await require_account(connection, request.path_params["user_id"])).user

    async def change(self, connection: Connection, request: Request, body: dict[str, Any]) -> Any:
        """One user after a change."""
        self._sessions.require_admin(request)
        user_id = (await require_account(connection, request.path_params["user_id"])).user["id"]
        checked = {
            "email": read_email(body) if body.get("email") else None,
            "password": read_password(body),
            "user_metadata": read_metadata(body, "user_metadata"),
            "app_metadata": read_metadata(body, "app_metadata"),
        }
        await accounts.change(connection, user_id, body | checked)
        return (await require_account(connection, user_id)).user

    async def delete(self, connection: Connection, request: Request, body: dict[str, Any]) -> Any:
        """Deletes a user with the dependent rows, or with `should_soft_delete` only the personal data."""
        self._sessions.require_admin(request)
        user_id = (await require_account(connection, request.path_params["user_id"])).user["id"]
        await (accounts.soft_delete if body.get("should_soft_delete") else accounts.delete)(connection, user_id)
        return {}


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, "")
    return int(text) if _PAGE_NUMBER.fullmatch(text) else default
