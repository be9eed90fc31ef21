"""Requests to an exchange without I/O, so that the synchronous and the asynchronous client share them.

A flow is a generator. It yields steps, receives the outcome of each step, and returns the parsed result. A step is a
`Call` of the client, or a `Wait` before the next attempt. The two clients differ only in the loop that runs the steps
(feeds.exchange.market).
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

__all__ = ["Call", "Flow", "Request", "Step", "Wait"]

_Result = TypeVar("_Result")

Call = Callable[[Any], Any]
"""A function from a ccxt client to the exchange's response, or to an awaitable of the response."""


@dataclass(frozen=True)
class Wait:
    """A pause of `seconds` before the next step."""

    seconds: float


Step = Call | Wait
Flow = Generator[Step, Any, _Result]


@dataclass(frozen=True)
class Request(Generic[_Result]):
    """A request that can be repeated: `start` begins one attempt, `description` names the request in errors."""

    description: str
    start: Callable[[], Flow[_Result]]
