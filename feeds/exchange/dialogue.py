"""Questions to an exchange as values: which requests to make and how to read the answers, without any I/O.

A dialogue is a generator. It yields steps, is sent what each step gave, and returns what was asked for. A step is a
`Call`, or a `Wait` between two attempts. The synchronous and the asynchronous client differ only in the loop that
runs the steps (feeds.exchange.market).
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

__all__ = ["Call", "Dialogue", "Question", "Step", "Wait"]

_Result = TypeVar("_Result")

Call = Callable[[Any], Any]
"""Takes a ccxt client and returns the exchange's answer, or an awaitable of it."""


@dataclass(frozen=True)
class Wait:
    """Wait so many seconds."""

    seconds: float


Step = Call | Wait
Dialogue = Generator[Step, Any, _Result]


@dataclass(frozen=True)
class Question(Generic[_Result]):
    """Hold a dialogue that can be begun again, and the words that name it in an error."""

    what: str
    begin: Callable[[], Dialogue[_Result]]
