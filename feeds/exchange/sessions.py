"""A session of requests that can be cut off: a response that never ends would keep its thread for ever."""

from __future__ import annotations

import socket
import weakref
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from scorenet.base.waits import cut_off

__all__ = ["SeverableSession"]


class SeverableSession(requests.Session):
    """A session that knows the sockets of its connections; proxies and passwords of the environment are not used."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        for prefix in ("https://", "http://"):
            self.mount(prefix, _Adapter(self._sockets))

    def sever(self) -> None:
        """End all connections; whoever waits for a response gets an error."""
        for found in list(self._sockets):
            cut_off(found)


class _Adapter(HTTPAdapter):
    def __init__(self, sockets: weakref.WeakSet[socket.socket]) -> None:
        self._sockets = sockets
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)  # type: ignore[no-untyped-call]
        pools = (HTTPConnectionPool, HTTPSConnectionPool)
        self.poolmanager.pool_classes_by_scheme = {
            pool.scheme: _remembering(pool, self._sockets) for pool in pools
        }


def _remembering(pool: Any, sockets: weakref.WeakSet[socket.socket]) -> Any:
    """Return a class of pools whose connections add their sockets to `sockets`."""

    class Connection(pool.ConnectionCls):  # type: ignore[misc]
        def connect(self) -> None:
            super().connect()
            sockets.add(self.sock)

    return type(pool.__name__, (pool,), {"ConnectionCls": Connection})
