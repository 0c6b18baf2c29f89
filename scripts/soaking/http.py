"""HTTP/1.1 by hand over asyncio: cheap enough for many requests, and able to send what no library would."""

import asyncio
import json
import socket
import struct

# An answer that takes longer than the service allows any request, and then some, does not come.
ANSWER_SECS = 40
# Longest header of an answer; the service sends some hundred bytes.
HEADER_BYTES = 65_536


class Lost(Exception):
    """The connection ended, or could not be made, before the answer was whole."""


class Reply:
    def __init__(self, status: int, headers: dict[str, str], body: bytes):
        self.status = status
        self.headers = headers
        self.body = body

    def json(self):
        """The body as JSON; None where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def __repr__(self) -> str:
        return f"{self.status} {self.body[:300]!r}"


def request_bytes(method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: localhost"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body or method in ("POST", "PUT"):
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Connection:
    """One connection that is kept alive, and made again where it was lost."""

    def __init__(self, address):
        """`address` answers host and port; they change when the service starts again."""
        self.address = address
        # How often the service had gone down when this was made; for whoever uses it.
        self.era = 0
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def open(self) -> None:
        if self.writer is not None and not self.writer.is_closing():
            return
        host, port = self.address()
        try:
            connecting = asyncio.open_connection(host, port, limit=HEADER_BYTES)
            self.reader, self.writer = await asyncio.wait_for(connecting, ANSWER_SECS)
        except (OSError, TimeoutError) as error:
            raise Lost(str(error)) from error

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None

    def reset(self) -> None:
        """Ends the connection without saying goodbye (RST)."""
        if self.writer is not None:
            raw = self.writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()
        self.reader = self.writer = None

    async def send(self, data: bytes) -> None:
        await self.open()
        try:
            self.writer.write(data)
            await asyncio.wait_for(self.writer.drain(), ANSWER_SECS)
        except (OSError, TimeoutError) as error:
            self.close()
            raise Lost(str(error)) from error

    async def end_sending(self) -> None:
        """Half-closes: nothing more comes from here, but the answer may."""
        if self.writer is not None and self.writer.can_write_eof():
            self.writer.write_eof()

    async def receive(self, head: bool = False) -> Reply:
        try:
            return await asyncio.wait_for(self._receive(head), ANSWER_SECS)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, IndexError, ValueError) as error:
            self.close()
            raise Lost(f"{type(error).__name__}: {error}") from error

    async def _receive(self, head: bool) -> Reply:
        header = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = header.decode("latin-1").split("\r\n")
        status = int(first.split(" ", 2)[1])
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = b""
        if headers.get("transfer-encoding", "") == "chunked":
            while size := int(await self.reader.readline(), 16):
                body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readline()
        elif not head and status not in (204, 304):
            body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection", "") == "close":
            self.close()
        return Reply(status, headers, body)

    async def wait_for_end(self, seconds: float) -> bool:
        """Whether the service closes the connection within this time; what it still says is read and forgotten."""
        reader = self.reader
        try:
            async with asyncio.timeout(seconds):
                while await reader.read(65_536):
                    pass
            return True
        except TimeoutError:
            return False
        except OSError:
            return True

    async def call(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Reply:
        await self.send(request_bytes(method, path, headers, body))
        return await self.receive(head=method == "HEAD")
