"""A webhook on the loopback that answers as a test asks it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["Hook", "hook"]


class Hook:
    """What was posted, and how to answer: HTTP codes in turn, the last one for ever; None hangs until the end."""

    def __init__(self, *codes: int | None) -> None:
        self.codes = list(codes) or [204]
        self.posted: list[tuple[str, dict]] = []
        self.news, self.ended = threading.Condition(), threading.Event()
        self.url = ""

    def events(self) -> list[str]:
        return [alert["event"] for _, alert in self.posted]

    def wait_for(self, count: int) -> None:
        with self.news:
            assert self.news.wait_for(lambda: len(self.posted) >= count, timeout=20)


@contextmanager
def hook(*codes: int | None) -> Iterator[Hook]:
    """Serve a webhook for the length of the block."""
    found = Hook(*codes)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            code = found.codes.pop(0) if len(found.codes) > 1 else found.codes[0]
            with found.news:
                found.posted.append((self.path, content))
                found.news.notify_all()
            if code is None:
                found.ended.wait(20)
                return
            self.send_response(code)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}/services/SECRET?token=SECRET"
    try:
        yield found
    finally:
        found.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()
