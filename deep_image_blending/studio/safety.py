"""Who may speak with the studio: known hosts, the studio's own page, and on other addresses a token."""

from __future__ import annotations

import hmac
import ipaddress
from dataclasses import dataclass
from http.cookies import SimpleCookie
from urllib.parse import parse_qs

from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "::1")
COOKIE = "studio-token"
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


@dataclass(frozen=True)
class Guard:
    """An ASGI application behind its checks. token: None where the studio is bound to this machine alone."""

    app: ASGIApp
    token: str | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *own]}
            await send(message)

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refused = self._refusal(scope, headers)
        if refused is None:
            await self.app(scope, receive, with_headers)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": refused})
        elif self._brings_token(scope):
            # The token leaves the address, where it would stay in histories, for a cookie that no script reads.
            answer = RedirectResponse("/", 303)
            answer.set_cookie(COOKIE, self.token or "", httponly=True, samesite="strict")
            await answer(scope, receive, with_headers)
        else:
            await PlainTextResponse(refused, 403)(scope, receive, with_headers)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> str | None:
        """Why a request is refused, in one line; None where it is not."""
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._is_ours(host):
            return f"the studio does not answer to the host {host!r}; open the address that `blend studio` printed"
        changes = scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD")
        if changes and (origin or "").partition("://")[2] != host:
            return "only the studio's own page may ask for this"
        if self.token is not None:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
            if cookie is None or not hmac.compare_digest(cookie.value.encode(), self.token.encode()):
                return "the address lacks its token; open the one that `blend studio` printed"
        return None

    def _is_ours(self, host: str) -> bool:
        name = host.rpartition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
        if self.token is None:
            return name in LOOPBACK
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name == "localhost"
        # A rebound name is no number: whoever comes by an address has it from us.
        return True

    def _brings_token(self, scope: Scope) -> bool:
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        return bool(
            self.token
            and scope["type"] == "http"
            and scope["method"] == "GET"
            and scope["path"] == "/"
            and hmac.compare_digest(given.encode(), self.token.encode())
        )
