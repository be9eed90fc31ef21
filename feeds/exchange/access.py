"""Connection settings of an exchange: host, timeout, credentials."""

import re
from dataclasses import dataclass, field

from ..errors import BadSource

__all__ = ["Access", "Credentials"]


@dataclass(frozen=True)
class Credentials:
    """An API key; `repr` does not show its secret."""

    key: str
    secret: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Access:
    """Connection settings.

    `base_url` ("http://HOST:PORT") replaces the exchange's host for REST and, as ws://HOST:PORT/..., for the
    websocket. `sandbox` selects the exchange's testnet; `base_url` takes precedence. `timeout` is seconds per request.

    Raises:
        BadSource: `base_url` is not the URL of a host.
    """

    base_url: str | None = None
    timeout: float = 10.0
    credentials: Credentials | None = None
    sandbox: bool = False

    def __post_init__(self) -> None:
        if self.base_url is not None and not re.fullmatch(r"https?://[^/\s?#@]+/?", self.base_url):
            raise BadSource(f"expected a base URL such as 'http://127.0.0.1:8899', found {self.base_url!r}")
