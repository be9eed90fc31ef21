"""Candles from the websocket, from one connection after the other.

ccxt's client dials, pings and closes. Its own reading of candles is left out: it drops `confirm`, hides gaps after a
new connection, and one broken frame stops it without a word. Here every frame is checked, every wait has a deadline,
and on any doubt the connection is closed and dialled again; what was missed meanwhile is not this module's business.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from scorenet.base.backoff import backoff_seconds

from ..exchange.access import Access
from ..exchange.candles import CandleStream
from ..exchange.ccxt_clients import ProClient, make_client
from ..exchange.failures import Malformed
from ..exchange.protocol import Exchange
from ..instruments import Instrument
from .clock import ExchangeClock
from .events import Connected, LiveSettings, Lost, StreamEvent

__all__ = ["KlineStream"]

_INBOX = 4096
_CLOSE_SECONDS = 5.0


class _Doubt(Exception):
    """Something about the connection is not as it should be."""


class _Up:
    """The socket is open."""


class _Socket(ProClient):
    """Hand over every frame as it came, and how the connection began and ended; one connection after the other.

    A client of ccxt weighs a megabyte, so there is one for all connections of a stream.
    """

    _current: Any = None

    def dial(self, stream: CandleStream, category: str, heard: Callable[[Any], None]) -> None:
        self.open()
        self._stream, self._heard = stream, heard
        url = self.implode_hostname(stream.url(self.urls["api"], category))
        client = self._current = self.client(url)
        read = client.handle_text_or_binary_message

        def guarded(data: Any) -> None:
            try:
                read(data)
            except (ValueError, RecursionError) as error:
                # Raised any further it would end ccxt's receive loop.
                self._hear(client, Malformed(f"a frame that is no JSON: {error}"))

        client.handle_text_or_binary_message = guarded
        client.connect(self.session)

    async def send(self, message: dict[str, Any]) -> None:
        await self._current.send(message)

    async def leave(self) -> None:
        """Close the connection; it may be half dead, and nobody waits long for its good-bye."""
        session, self._current = self.session, None
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self.close()
        finally:
            # Out of patience, or stopped while waiting: what it holds is let go all the same.
            self.session = None
            self.clients.clear()
            if session is not None:
                await session.close()

    def handle_message(self, client: Any, message: Any) -> None:
        if self._stream.is_pong(message):
            self.handle_pong(client, message)
        else:
            self._hear(client, message)

    def on_connected(self, client: Any, message: Any = None) -> None:
        super().on_connected(client, message)
        self._hear(client, _Up())

    def on_error(self, client: Any, error: Any) -> None:
        super().on_error(client, error)
        self._hear(client, _Doubt(f"the connection failed: {error}"))

    def on_close(self, client: Any, error: Any) -> None:
        super().on_close(client, error)
        self._hear(client, _Doubt(f"the exchange closed the connection ({error})"))

    def _hear(self, client: Any, what: Any) -> None:
        # What an earlier connection still has to say is no news of this one.
        if client is self._current:
            self._heard(what)


class KlineStream:
    """Push the candles of one instrument to `emit` for ever, `Connected` and `Lost` in between."""

    def __init__(
        self,
        exchange: Exchange,
        access: Access,
        instrument: Instrument,
        timeframe: str,
        clock: ExchangeClock,
        settings: LiveSettings,
        emit: Callable[[StreamEvent], Awaitable[None]],
    ) -> None:
        self._rules, self._stream = exchange.ccxt_rules, exchange.stream()
        self._access = access
        self._instrument = instrument
        self._timeframe = timeframe
        self._clock = clock
        self._settings = settings
        self._emit = emit

    async def run(self) -> None:
        """Dial, listen, and dial again, at growing intervals while no candle closes on the connection."""
        attempt, socket = 0, make_client(_Socket, self._rules, self._access)
        while True:
            self._useful = False
            try:
                await self._connection(socket)
            except (_Doubt, Malformed) as doubt:
                await self._emit(Lost(str(doubt)))
            attempt = 1 if self._useful else attempt + 1
            pause = backoff_seconds(attempt - 1, self._settings.reconnect, self._settings.reconnect_cap)
            await asyncio.sleep(self._clock.seconds(pause))

    async def _connection(self, socket: _Socket) -> None:
        inbox: asyncio.Queue[Any] = asyncio.Queue(_INBOX + 1)
        try:
            socket.dial(self._stream, self._instrument.category, lambda frame: _put(inbox, frame))
            if not isinstance(await self._next(inbox, self._settings.connect, "a connection"), _Up):
                raise _Doubt("the exchange talked before the connection was open")
            await self._subscribe(socket, inbox)
            await self._emit(Connected())
            await self._listen(inbox)
        finally:
            await socket.leave()

    async def _subscribe(self, socket: _Socket, inbox: "asyncio.Queue[Any]") -> None:
        try:
            await socket.send(self._stream.subscription(self._instrument, self._timeframe))
        except (OSError, ConnectionError) as error:
            raise _Doubt(f"the subscription could not be sent: {error}") from error
        answer = await self._next(inbox, self._settings.connect, "an answer to the subscription")
        if not self._stream.subscribed(answer):
            raise _Doubt(f"the exchange refused the subscription: {str(answer)[:120]}")

    async def _listen(self, inbox: "asyncio.Queue[Any]") -> None:
        loop, patience = asyncio.get_running_loop(), self._clock.seconds(self._settings.stale)
        deadline = loop.time() + patience
        while True:
            frame = await self._next(inbox, deadline - loop.time(), "a candle")
            for candle in self._stream.candles(frame, self._instrument, self._timeframe):
                deadline = loop.time() + patience
                self._useful = self._useful or candle.closed
                await self._emit(candle)

    async def _next(self, inbox: "asyncio.Queue[Any]", seconds: float, what: str) -> Any:
        try:
            async with asyncio.timeout(seconds):
                frame = await inbox.get()
        except TimeoutError:
            raise _Doubt(f"waited {seconds:.3g} s in vain for {what}") from None
        if isinstance(frame, _Doubt | Malformed):
            raise frame
        if inbox.qsize() >= _INBOX:
            raise _Doubt("frames came faster than they were taken")
        return frame


def _put(inbox: "asyncio.Queue[Any]", frame: Any) -> None:
    # A full inbox is noticed by its reader, which then gives the connection up.
    with suppress(asyncio.QueueFull):
        inbox.put_nowait(frame)
