"""Connection settings of an exchange: host, timeout, credentials."""

import ipaddress
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ..errors import BadSource

__all__ = ["Access", "Credentials", "host_of", "is_loopback"]


@dataclass(frozen=True)
class Credentials:
    """An API key; `repr` does not show its secret.

    Raises:
        BadSource: one of them has a character that no key has; a request would fail with an error that shows it.
    """

    key: str
    secret: str = field(repr=False)

    def __post_init__(self) -> None:
        for what, text in (("key", self.key), ("secret", self.secret)):
            if not re.fullmatch(r"[\x21-\x7e]+", text):
                place = next((n for n, char in enumerate(text, 1) if not "!" <= char <= "~"), 0)
                raise BadSource(
                    f"expected an API {what} of ASCII letters, digits and signs, found another character at place "
                    f"{place} of {len(text)}; copy it again, without quotation marks, spaces or line breaks"
                )


@dataclass(frozen=True, kw_only=True)
class Access:
    """Connection settings.

    `base_url` ("http://HOST:PORT") replaces the exchange's host for REST and, as ws://HOST:PORT/..., for the
    websocket. `sandbox` selects the exchange's testnet; `base_url` takes precedence. `timeout` is seconds per request.

    Raises:
        BadSource: `base_url` is not the URL of a host, or credentials would leave this machine without TLS.
    """

    base_url: str | None = None
    timeout: float = 10.0
    credentials: Credentials | None = None
    sandbox: bool = False

    def __post_init__(self) -> None:
        if self.base_url is not None and not re.fullmatch(r"https?://[^/\s?#@]+/?", self.base_url):
            raise BadSource(f"expected a base URL such as 'http://127.0.0.1:8899', found {self.base_url!r}")
        if self.base_url is None:
            return
        host = host_of(self.base_url)
        if self.credentials is not None and self.base_url.startswith("http:") and not is_loopback(host):
            raise BadSource(
                f"expected an https:// base URL, because the API key is sent to it, found {self.base_url!r}; "
                "http:// is accepted for this machine only (127.0.0.1, localhost)"
            )


def host_of(url: str) -> str:
    """Return the host of a URL in lower case, without its port.

    Raises:
        BadSource: the URL has no valid host.
    """
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        _ = parts.port  # raises for a port that is no number
    except ValueError as error:
        raise BadSource(
            f"expected a base URL such as 'http://127.0.0.1:8899', found {url!r}: {error}"
        ) from error
    if not re.fullmatch(r"[a-z0-9._:-]+", host):
        raise BadSource(f"expected a base URL with a host name in ASCII letters, found {url!r}")
    return host


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine: localhost, 127.0.0.0/8 or ::1."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
