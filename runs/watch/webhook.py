"""Post alerts to a URL of the user's, from a thread of their own: a webhook that fails never holds up a run.

The URL is a secret: only its host is ever shown.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import re
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit

from scorenet.base.error_line import error_line
from scorenet.base.waits import cut_off
from scorenet.errors import ConfigError

__all__ = ["Target", "Webhook", "hidden", "target_of"]

_PRIVATE_NAMES = (".local", ".localhost", ".internal", ".lan", ".home.arpa")
_CAPACITY = 100
_LEAST_SECONDS = 0.1  # for the answer, after a connection that took nearly all the time
_PAUSES = (2.0, 10.0)  # seconds before the second and the third attempt


@dataclass(frozen=True)
class Target:
    """Where a webhook is; `repr` and `host` do not show its path, which is the secret."""

    host: str
    tls: bool
    port: int | None
    path: str = field(repr=False)


def target_of(url: str) -> Target:
    """Return the parts of a webhook's URL: https://, or http:// on this machine or a private network.

    Raises:
        ConfigError: it is another URL. The message does not contain it.
    """
    url = url.strip()
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        parts, host, port = SplitResult("", "", "", "", ""), "", None
    # Whitespace and controls would end the line of the request.
    if parts.scheme not in ("http", "https") or not host or re.search(r"[^!-~]", url) or "@" in parts.netloc:
        raise ConfigError(
            "--notify: expected https://HOST/PATH in ASCII letters, without user and password, found something else "
            "(it is not shown, because it may be a secret)"
        )
    if parts.scheme == "http" and not _may_be_private(host):
        raise ConfigError(
            f"--notify: expected https://, because {host} is not on this machine or a private network, found http://"
        )
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(host, parts.scheme == "https", port, path)


def hidden(words: Sequence[str], urls: Sequence[str]) -> list[str]:
    """Return the words of a command with each webhook's URL replaced by its host."""
    found = list(words)
    for url in sorted(urls, key=len, reverse=True):
        if url:
            found = [word.replace(url, f"https://{target_of(url).host}/...") for word in found]
    return found


class Webhook:
    """Post alerts as JSON, in their order. Of more than 100 that wait, the oldest are dropped.

    An alert is tried three times. `say` is told once that the webhook fails, and once that it works again.
    """

    def __init__(
        self,
        target: Target,
        say: Callable[[str], None],
        *,
        timeout: float = 5.0,
        pauses: Sequence[float] = _PAUSES,
        capacity: int = _CAPACITY,
    ) -> None:
        self._target, self._say, self._timeout, self._pauses = target, say, timeout, tuple(pauses)
        self._waiting: deque[bytes] = deque(maxlen=capacity)
        self._news = threading.Condition()
        self._closing = threading.Event()
        self._failing = False
        self.sent = self.dropped = self.failed = 0
        self._thread = threading.Thread(target=self._run, name=f"webhook {target.host}", daemon=True)
        self._thread.start()

    def post(self, alert: Mapping[str, Any]) -> None:
        """Add an alert to those that wait to be sent; this takes no time."""
        body = json.dumps(alert, allow_nan=False).encode("utf-8", "replace")
        with self._news:
            self.dropped += len(self._waiting) == self._waiting.maxlen
            self._waiting.append(body)
            self._news.notify()

    def hurry(self) -> None:
        """Make no pause between attempts any more, and end when nothing waits."""
        self._closing.set()
        with self._news:
            self._news.notify()

    def close(self, seconds: float = 5.0) -> None:
        """Send what waits, for at most `seconds`, then give up."""
        self.hurry()
        self._thread.join(seconds)
        if self._thread.is_alive():
            self._say(f"webhook {self._target.host}: alerts were not delivered before the end")

    def _run(self) -> None:
        while True:
            with self._news:
                while not self._waiting and not self._closing.is_set():
                    self._news.wait()
                if not self._waiting:
                    return
                body = self._waiting.popleft()
            self._deliver(body)

    def _deliver(self, body: bytes) -> None:
        problem = ""
        for pause in (*self._pauses, None):
            problem, again = self._attempt(body)
            if not problem or not again or pause is None:
                break
            self._closing.wait(pause)
        self.sent, self.failed = self.sent + (not problem), self.failed + bool(problem)
        if bool(problem) != self._failing:
            self._failing = bool(problem)
            text = f"{problem}; trading goes on, alerts may be lost" if problem else "works again"
            self._say(f"webhook {self._target.host}: {text}")

    def _attempt(self, body: bytes) -> tuple[str, bool]:
        """Return what went wrong, "" if nothing did, and whether another attempt may help."""
        connection, began = self._connection(), time.monotonic()
        # A socket's own timeout begins anew with every byte that arrives.
        deadline: threading.Timer | None = None
        late = threading.Event()
        try:
            connection.connect()
            left = max(began + self._timeout - time.monotonic(), _LEAST_SECONDS)
            deadline = threading.Timer(left, _cut, (connection.sock, late))
            deadline.daemon = True
            deadline.start()
            if not self._target.tls and not _is_private(connection.sock.getpeername()[0]):
                return "its name leads out of the private network, where only https:// is accepted", False
            headers = {"Content-Type": "application/json", "User-Agent": "scorenet", "Connection": "close"}
            connection.request("POST", self._target.path, body, headers)
            status = connection.getresponse().status
        except http.client.HTTPException as error:
            return "timed out" if late.is_set() else f"its answer is not HTTP ({type(error).__name__})", True
        except (OSError, ValueError) as error:
            return "timed out" if late.is_set() else error_line(error), True
        finally:
            if deadline is not None:
                deadline.cancel()
            connection.close()
        if 200 <= status < 300:
            return "", False
        # A redirection is not followed: the alert would go where nobody has asked for it.
        return f"it answered HTTP {status}", status == 429 or status >= 500

    def _connection(self) -> http.client.HTTPConnection:
        target = self._target
        if target.tls:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(
                target.host, target.port, timeout=self._timeout, context=context
            )
        return http.client.HTTPConnection(target.host, target.port, timeout=self._timeout)


def _cut(channel: socket.socket, late: threading.Event) -> None:
    late.set()
    cut_off(channel)


def _may_be_private(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        # What the name really leads to is checked when it is connected.
        return "." not in host or host.endswith(_PRIVATE_NAMES)


def _is_private(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_private
    except ValueError:
        return False
