"""Between the service and DynamoDB: lets through what the task role may do, and writes down what was asked for.

IAM is enforced by AWS alone, so what the role lacks would show in production first. Here each call is compared with the
role's statements by action and table; what is not allowed is answered as AWS answers it.
"""

import http.client
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

TRANSACTION = {"ConditionCheck": "ConditionCheckItem", "Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem"}
# By action and role of the table: dynamodb:GetItem, config.
Right = tuple[str, str]


def needed(operation: str, body: dict) -> Iterator[tuple[str, str]]:
    """Actions and names of tables that a call needs."""
    if operation == "TransactWriteItems":
        for item in body["TransactItems"]:
            for kind, part in item.items():
                yield f"dynamodb:{TRANSACTION[kind]}", part["TableName"]
    elif operation in ("BatchGetItem", "BatchWriteItem"):
        yield from ((f"dynamodb:{operation}", table) for table in body["RequestItems"])
    elif "TableName" in body:
        yield f"dynamodb:{operation}", body["TableName"]


def role_of(table: str) -> str:
    return re.split(r"[-_.]", table)[-1]


class Proxy:
    """Listens on a free port of 127.0.0.1 until the end of the block. Without `allowed` everything passes."""

    def __init__(self, upstream: str, allowed: set[tuple[str, str]] | None) -> None:
        self.upstream, self.allowed = urlsplit(upstream), allowed
        self.seen: set[tuple[str, str]] = set()
        self.refused: set[tuple[str, str]] = set()
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler(self))
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> "Proxy":
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def judge(self, operation: str, body: dict) -> list[tuple[str, str]]:
        """What is missing for this call."""
        rights = set(needed(operation, body))
        missing = set() if self.allowed is None else rights - self.allowed
        with self.lock:
            self.seen |= rights
            self.refused |= missing
        return sorted(missing)


def handler(proxy: Proxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Header and body in one packet: the other side would wait for an acknowledgement between them.
        wbufsize = -1
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
            missing = proxy.judge(operation, json.loads(text or "{}"))
            if missing:
                action, table = missing[0]
                answer = {"__type": "com.amazon.coral.service#AccessDeniedException", "Message": f"{action} on {table}"}
                self.reply(400, json.dumps(answer).encode(), {"Content-Type": "application/x-amz-json-1.0"})
                return
            try:
                upstream = self.connection_upstream()
                upstream.request("POST", self.path, text, dict(self.headers))
                answer = upstream.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException):
                self.server_connection = None
                self.reply(503, b"", {})
                return
            kept = ("content-type", "x-amz-crc32", "x-amzn-requestid")
            self.reply(answer.status, body, {name: value for name, value in answer.getheaders() if name.lower() in kept})

        def connection_upstream(self) -> http.client.HTTPConnection:
            if getattr(self, "server_connection", None) is None:
                self.server_connection = http.client.HTTPConnection(
                    proxy.upstream.hostname, proxy.upstream.port, timeout=30
                )
            return self.server_connection

        def reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: a line for each call would say little."""

    return Handler
