"""Websocket candles of one instrument, with checks, deadlines and automatic reconnection.

ccxt's client connects, pings and closes. Its parsing of candles is not used: it drops `confirm`, hides gaps after a
reconnection, and stops silently at a broken frame. Here every frame is checked and every wait has a deadline. After any
error the connection is closed and opened again. Missed candles are not recovered here; `LiveBars` requests them.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from scorenet.base.backoff import backoff_seconds

from ..exchange.access import Access
from ..exchange.candles import CandleStream
from ..exchange.ccxt_clients import ClientError, ProClient, make_client
from ..exchange.failures import Malformed
from ..exchange.protocol import Exchange
from ..instruments import Instrument
from .clock import ExchangeClock
from .events import Connected, LiveSettings, Lost, StreamEvent

__all__ = ["KlineStream"]

_INBOX = 4096
_CLOSE_SECONDS = 5.0


class _ConnectionFailed(Exception):
    """The connection failed, or its frames are no longer reliable."""


class _Opened:
    """Event: the socket is open."""


class _Socket(ProClient):
    """Pass on every raw frame, and the start and end of the connection; one connection at a time.

    A ccxt client takes a megabyte of memory, so all connections of a stream share one.
    """

    _current: Any = None

    def begin_connection(self, stream: CandleStream, category: str, on_event: Callable[[Any], None]) -> None:
        self.open()
        self._stream, self._on_event = stream, on_event
        url = self.implode_hostname(stream.url(self.urls["api"], category))
        client = self._current = self.client(url)
        read = client.handle_text_or_binary_message

        def guarded(data: Any) -> None:
            try:
                read(data)
            except (ValueError, RecursionError) as error:
                # If it were raised further, ccxt's receive loop would end.
                self._forward(client, Malformed(f"expected JSON, found another frame: {error}"))

        client.handle_text_or_binary_message = guarded
        client.connect(self.session)

    async def send(self, message: dict[str, Any]) -> None:
        await self._current.send(message)

    async def end_connection(self) -> None:
        """Close the connection; wait only a few seconds for the closing handshake."""
        session, self._current = self.session, None
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self.close()
        finally:
            # Release the resources also after a timeout or a cancellation.
            self.session = None
            self.clients.clear()
            if session is not None:
                await session.close()

    def handle_message(self, client: Any, message: Any) -> None:
        if self._stream.is_pong(message):
            self.handle_pong(client, message)
        else:
            self._forward(client, message)

    def on_connected(self, client: Any, message: Any = None) -> None:
        super().on_connected(client, message)
        self._forward(client, _Opened())

    def on_error(self, client: Any, error: Any) -> None:
        super().on_error(client, error)
        self._forward(client, _ConnectionFailed(f"the connection failed: {error}"))

    def on_close(self, client: Any, error: Any) -> None:
        super().on_close(client, error)
        self._forward(client, _ConnectionFailed(f"the exchange closed the connection ({error})"))

    def _forward(self, client: Any, event: Any) -> None:
        # Ignore frames of an earlier connection.
        if client is self._current:
            self._on_event(event)


class KlineStream:
    """Pass the candles of one instrument to `emit` without end, and `Connected` and `Lost` events in between."""

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
        """Connect, listen and reconnect; the pauses grow until a connection delivers a closed candle."""
        attempt, socket = 0, make_client(_Socket, self._rules, self._access)
        while True:
            self._useful = False
            try:
                await self._connection(socket)
            except (_ConnectionFailed, Malformed, ClientError) as error:
                await self._emit(Lost(str(error)))
            attempt = 1 if self._useful else attempt + 1
            pause = backoff_seconds(attempt - 1, self._settings.reconnect, self._settings.reconnect_cap)
            await asyncio.sleep(self._clock.seconds(pause))

    async def _connection(self, socket: _Socket) -> None:
        inbox: asyncio.Queue[Any] = asyncio.Queue(_INBOX + 1)
        try:
            socket.begin_connection(self._stream, self._instrument.category, lambda frame: _put(inbox, frame))
            if not isinstance(await self._next(inbox, self._settings.connect, "a connection"), _Opened):
                raise _ConnectionFailed("received a frame before the connection was open")
            await self._subscribe(socket, inbox)
            await self._emit(Connected())
            await self._listen(inbox)
        finally:
            await socket.end_connection()

    async def _subscribe(self, socket: _Socket, inbox: "asyncio.Queue[Any]") -> None:
        try:
            await socket.send(self._stream.subscription(self._instrument, self._timeframe))
        except (OSError, ConnectionError) as error:
            raise _ConnectionFailed(f"the subscription could not be sent: {error}") from error
        response = await self._next(inbox, self._settings.connect, "a response to the subscription")
        if not self._stream.subscribed(response):
            raise _ConnectionFailed(f"the exchange rejected the subscription: {str(response)[:120]}")

    async def _listen(self, inbox: "asyncio.Queue[Any]") -> None:
        loop, timeout = asyncio.get_running_loop(), self._clock.seconds(self._settings.stale)
        deadline = loop.time() + timeout
        while True:
            frame = await self._next(inbox, deadline - loop.time(), "a candle")
            for candle in self._stream.candles(frame, self._instrument, self._timeframe):
                deadline = loop.time() + timeout
                self._useful = self._useful or candle.closed
                await self._emit(candle)

    async def _next(self, inbox: "asyncio.Queue[Any]", seconds: float, what: str) -> Any:
        try:
            async with asyncio.timeout(seconds):
                frame = await inbox.get()
        except TimeoutError:
            raise _ConnectionFailed(f"expected {what} within {seconds:.3g} s, received none") from None
        if isinstance(frame, _ConnectionFailed | Malformed):
            raise frame
        if inbox.qsize() >= _INBOX:
            raise _ConnectionFailed("frames arrived faster than they were processed")
        return frame


def _put(inbox: "asyncio.Queue[Any]", frame: Any) -> None:
    # The reader notices a full inbox and closes the connection.
    with suppress(asyncio.QueueFull):
        inbox.put_nowait(frame)
