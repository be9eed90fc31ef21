"""A strict client of Bybit's public market data: the one file that imports ccxt.

An answer is validated rows or an exception. ccxt turns a broken HTTP 200 into "no data"; here it is an
error and asked for again. What a failure means is in feeds.failures, which rows are possible in feeds.rows.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Self, TypeVar

import ccxt

from feeds.errors import BadSource, BadTimeframe, ExchangeBanned, ExchangeRejected, ExchangeUnavailable
from feeds.failures import Evidence, Failure, Retry, classify, malformed
from feeds.instruments import Instrument, resolve
from feeds.rows import Malformed, Table, parse_funding, parse_klines, parse_open_interest, unite
from feeds.stamps import iso
from feeds.timeframes import to_ms

__all__ = ["FUNDING_LIMIT", "KLINE_LIMIT", "OPEN_INTEREST_LIMIT", "OPEN_INTEREST_TIMEFRAMES", "Bybit"]

KLINE_LIMIT = 1000
FUNDING_LIMIT = 200
OPEN_INTEREST_LIMIT = 200
OPEN_INTEREST_TIMEFRAMES = {"5m": "5min", "15m": "15min", "30m": "30min", "1h": "1h", "4h": "4h", "1d": "1d"}

# A third of the exchange's 600 requests in 5 s for one address; ccxt's own default is 10 a second.
REQUESTS_PER_SECOND = 40.0
_KLINE_COST = 5

_Result = TypeVar("_Result")


class _StrictBybit(ccxt.bybit):  # type: ignore[misc]
    """ccxt's client, counting requests and refusing what is not a whole answer."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.counts: Counter[str] = Counter()
        self.evidence = Evidence()
        super().__init__(config)

    def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        self.counts[re.sub(r"\?.*|^\w+://[^/]*", "", url)] += 1
        self.evidence = Evidence()
        return super().fetch(url, method, headers, body)

    def handle_errors(
        self,
        code: int,
        reason: str,
        url: str,
        method: str,
        headers: Mapping[str, str],
        body: str,
        response: Any,
        request_headers: Any,
        request_body: Any,
    ) -> Any:
        wrong = malformed(url, response)
        ret_code = None if wrong else int(response["retCode"])
        self.evidence = Evidence(code, ret_code, dict(headers or {}))
        if code < 400 and wrong:
            raise ccxt.BadResponse(f"{wrong}: {str(body)[:80]!r}")
        whole = response if isinstance(response, dict) else None
        return super().handle_errors(
            code, reason, url, method, headers, body, whole, request_headers, request_body
        )


class Bybit:
    """Ask Bybit for public market data; use as a context manager, or `close` it.

    `base_url` ("http://HOST:PORT") replaces the exchange's host, `timeout` is seconds a request, and
    `requests_per_second` None switches the client's own pace off. Ranges are half-open, in UTC ms. After a
    ban every method raises ExchangeBanned without asking.

    Raises:
        BadSource: `base_url` is no URL of a host.
        ExchangeUnavailable: an answer could not be had for now, by any method.
        ExchangeBanned: the exchange refuses this address.
        ExchangeRejected: the exchange will never answer this request.
    """

    name = "bybit"

    def __init__(
        self,
        *,
        base_url: str | None = None,
        timeout: float = 10.0,
        requests_per_second: float | None = REQUESTS_PER_SECOND,
        retry: Retry | None = None,
    ) -> None:
        config: dict[str, Any] = {
            "timeout": int(timeout * 1000),
            "enableRateLimit": requests_per_second is not None,
            "rateLimit": 1000.0 / (_KLINE_COST * (requests_per_second or REQUESTS_PER_SECOND)),
            "has": {"fetchCurrencies": False},
        }
        if base_url is not None:
            host = _checked_url(base_url)
            config["urls"] = {"api": {"public": host, "private": host}}
        self._client = _StrictBybit(config)
        self._retry = retry or Retry()
        self._markets: dict[str, dict[str, Instrument]] = {}
        self._ban: str | None = None

    @property
    def counts(self) -> Counter[str]:
        """Return the requests made so far, by path."""
        return self._client.counts

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def server_time(self) -> int:
        """Return the exchange's clock in UTC ms."""
        return self._ask("the time", lambda: _time(self._client.public_get_v5_market_time()))

    def markets(self, category: str) -> dict[str, Instrument]:
        """Return the perpetuals ("linear") or pairs ("spot") by symbol; asked for once."""
        if category not in self._markets:
            self._markets[category] = self._ask(f"{category} instruments", lambda: self._load(category))
        return self._markets[category]

    def instrument(self, name: str) -> Instrument:
        """Return the instrument of a name: "BTC/USDT:USDT", its alias "BTCUSDT", or "BTC/USDT" (spot).

        Raises:
            BadSymbol: the exchange lists no such market; says which names are close.
        """
        return resolve(name, self.markets)

    def klines(self, instrument: Instrument, timeframe: str, start: int, end: int) -> Table:
        """Return the bars that open in [start, end), at most KLINE_LIMIT bars wide, the open one included."""
        step = to_ms(timeframe)
        query = {
            "category": instrument.category,
            "symbol": instrument.id,
            "interval": self._client.timeframes[timeframe],
            **_window(start, end, step, KLINE_LIMIT, "start", "end"),
        }

        def ask() -> Table:
            result = self._client.public_get_v5_market_kline(query)["result"]
            return parse_klines(result, instrument.id, start, end, step)

        return self._ask(f"{timeframe} bars of {instrument.symbol} from {iso(start)}", ask)

    def funding(self, instrument: Instrument, start: int, end: int) -> Table:
        """Return the newest settlements in [start, end), FUNDING_LIMIT at most."""
        query = {
            "category": instrument.category,
            "symbol": instrument.id,
            "startTime": start,
            "endTime": end - 1,
            "limit": FUNDING_LIMIT,
        }

        def ask() -> Table:
            result = self._client.public_get_v5_market_funding_history(query)["result"]
            return parse_funding(result, instrument.id, start, end)

        return self._ask(f"funding of {instrument.symbol} from {iso(start)}", ask)

    def open_interest(self, instrument: Instrument, timeframe: str, start: int, end: int) -> Table:
        """Return the open interest every `timeframe` in [start, end), OPEN_INTEREST_LIMIT rows at most."""
        step = to_ms(timeframe)
        if timeframe not in OPEN_INTEREST_TIMEFRAMES:
            raise BadTimeframe(
                f"open interest comes every {', '.join(OPEN_INTEREST_TIMEFRAMES)}, found {timeframe!r}"
            )
        query = {
            "category": instrument.category,
            "symbol": instrument.id,
            "intervalTime": OPEN_INTEREST_TIMEFRAMES[timeframe],
            **_window(start, end, step, OPEN_INTEREST_LIMIT, "startTime", "endTime"),
        }

        def ask() -> Table:
            result = self._client.public_get_v5_market_open_interest(query)["result"]
            rows = parse_open_interest(result, instrument.id, start, end, step)
            known = -1
            # A page may be cut short; a cursor that brings nothing new is the end.
            while known < len(rows["timestamp"]) < (end - start) // step and result.get("nextPageCursor"):
                known = len(rows["timestamp"])
                following = {**query, "cursor": result["nextPageCursor"]}
                result = self._client.public_get_v5_market_open_interest(following)["result"]
                rows = unite(rows, parse_open_interest(result, instrument.id, start, end, step))
            return rows

        return self._ask(f"open interest of {instrument.symbol} from {iso(start)}", ask)

    def _load(self, category: str) -> dict[str, Instrument]:
        self._client.options["fetchMarkets"] = {"types": [category]}
        listed = self._client.fetch_markets()
        found = [_instrument(market, category) for market in listed if market["spot"] or market["swap"]]
        if not found:
            raise Malformed("expected instruments, found none")
        return {instrument.symbol: instrument for instrument in found}

    def _ask(self, what: str, request: Callable[[], _Result]) -> _Result:
        """Return `request()`, asked again as the failure table and the retry policy say."""
        waited = 0.0
        for attempt in range(self._retry.attempts):
            if self._ban is not None:
                raise ExchangeBanned(self._ban)
            try:
                return request()
            except (ccxt.BaseError, Malformed) as error:
                evidence, reason = self._client.evidence, _first_line(error)
                failure = Failure.TRANSIENT if isinstance(error, Malformed) else classify(error, evidence)
                if failure is Failure.BANNED:
                    self._ban = _ban_text(evidence)
                    raise ExchangeBanned(self._ban) from error
                if failure is Failure.FATAL:
                    raise ExchangeRejected(f"bybit refuses to give {what}: {reason}") from error
                delay = self._retry.delay(attempt, failure, evidence.headers)
                waited += delay
                if attempt + 1 == self._retry.attempts or waited > self._retry.budget:
                    raise ExchangeUnavailable(
                        f"bybit does not give {what} ({attempt + 1} attempts, {failure.value}): {reason}. "
                        "What was stored before is kept; run the same command again to go on"
                    ) from error
            self._retry.sleep(delay)
        raise ExchangeUnavailable(f"no attempt was allowed to ask bybit for {what}")


def _window(start: int, end: int, step: int, limit: int, first: str, last: str) -> dict[str, int]:
    """Return the query of a window too narrow for the exchange's cut to the newest `limit` rows."""
    if start % step or end % step or not 0 < end - start <= limit * step:
        raise BadSource(
            f"expected a window of 1 to {limit} bars on the grid, found {iso(start)} to {iso(end)}"
        )
    return {first: start, last: end - step, "limit": limit}


def _time(answer: Mapping[str, Any]) -> int:
    stamp = str(answer.get("time"))
    if not stamp.isdigit():
        raise Malformed(f"expected the exchange's time in ms, found {stamp!r}")
    return int(stamp)


def _instrument(market: Mapping[str, Any], category: str) -> Instrument:
    info, limits = market["info"], market["limits"]
    minutes = info.get("fundingInterval")
    return Instrument(
        symbol=market["symbol"],
        id=market["id"],
        category=category,
        tick=float(market["precision"]["price"] or 0.0),
        lot_step=float(market["precision"]["amount"] or 0.0),
        min_quantity=float(limits["amount"]["min"] or 0.0),
        min_notional=float(limits["cost"]["min"] or 0.0),
        funding_minutes=int(minutes) if str(minutes).isdigit() else None,
        launch=market.get("created"),
        active=bool(market["active"]),
    )


def _checked_url(url: str) -> str:
    if not re.fullmatch(r"https?://[^/\s?#@]+/?", url):
        raise BadSource(f"expected a base URL such as 'http://127.0.0.1:8899', found {url!r}")
    return url.rstrip("/")


def _ban_text(evidence: Evidence) -> str:
    code = f"retCode {evidence.ret_code}" if evidence.ret_code else f"HTTP {evidence.status}"
    return (
        f"bybit refuses this address ({code}): too many requests, or its region is not served; no further "
        "request is sent. What was stored is kept: resume later, in 10 minutes or more, by the same command"
    )


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
