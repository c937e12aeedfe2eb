"""`blend studio`."""

from __future__ import annotations

import secrets
import socket
import threading
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from deep_image_blending.cli.declared import Command, command
from deep_image_blending.errors import InputError
from deep_image_blending.options.groups import OUTPUT


@command("studio", panel="Blend")
@dataclass
class OpenStudio(Command):
    """A page in the browser: bring two pictures, cut the object out, place it, see it blended.

    Example:  blend studio --runs results
    """

    runs: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the runs.", rich_help_panel=OUTPUT)] = (
        Path("results")
    )
    host: Annotated[
        str,
        typer.Option(
            help="Address to answer at; another than 127.0.0.1 asks for a token.", rich_help_panel=OUTPUT
        ),
    ] = "127.0.0.1"
    port: Annotated[int, typer.Option(min=1, max=65535, help="Its port.", rich_help_panel=OUTPUT)] = 8790
    no_browser: Annotated[
        bool, typer.Option("--no-browser", metavar="", help="Open no browser.", rich_help_panel=OUTPUT)
    ] = False

    def run(self) -> None:
        try:
            import uvicorn
            import websockets  # noqa: F401

            from deep_image_blending.studio.safety import LOOPBACK, Guard
            from deep_image_blending.studio.server import Studio
        except ImportError:
            raise InputError("the studio needs its extra: pip install 'deep-image-blending[studio]'") from None
        token = None if self.host in LOOPBACK else secrets.token_urlsafe(24)
        address = f"http://{self.host}:{self.port}/" + ("" if token is None else f"?token={token}")
        try:
            studio = Studio(self.runs)
        except OSError as error:
            raise InputError(
                f"--runs '{self.runs}' can't hold runs ({error.strerror}); give another folder"
            ) from error
        listening = self._listening()
        typer.echo(f"the studio is at {address} (Ctrl-C ends it)")
        if not self.no_browser:
            threading.Timer(0.7, webbrowser.open, (address,)).start()
        settings = uvicorn.Config(
            Guard(studio.app(), token), log_level="error", ws_max_size=2**20, timeout_graceful_shutdown=2
        )
        uvicorn.Server(settings).run(sockets=[listening])

    def _listening(self) -> socket.socket:
        """The socket that is served. Raises InputError where the address can't be had."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            return socket.create_server((self.host, self.port), family=family, backlog=128)
        except OSError as error:
            raise InputError(
                f"{self.host}, port {self.port}: {error.strerror or error}; give another --port, or --host"
            ) from error
