"""A model at work as a guest: how long its code may take, how it starts again, and when the run gives it up."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from speech_eval.adapters.base import Adapter
from speech_eval.errors import ModelDied, ModelUnavailable, SpeechEvalError
from speech_eval.records import Output
from speech_eval.safety.guest import TimedOut, contained, limited, place, reason, trace

logger = logging.getLogger(__name__)

IN_A_ROW = 3  # certain failures, or losses of the model, after which a run stops
_SAME_PLACE = 3  # tracebacks that are kept of one fault


class GivenUp(SpeechEvalError):
    """The run stops: the next sample would fail as the last ones did."""


class Guest:
    """The adapter that a session asks.

    `timeout` is the seconds of one answer; None: the task's. `rebuild` loads the model anew; None where the caller gave
    an adapter object. `secrets` are credentials that no message may repeat. `name` names the model in messages.
    """

    def __init__(
        self,
        adapter: Adapter,
        *,
        name: str = "the model",
        rebuild: Callable[[], Adapter] | None = None,
        timeout: float | None = None,
        secrets: Sequence[str] = (),
    ) -> None:
        self.adapter = adapter
        self.timeout = timeout
        self._name, self._rebuild, self._secrets = name, rebuild, tuple(secrets)
        self._losses = 0
        self._withheld: list[tuple[str, Output]] = []
        self._certain: ModelUnavailable | None = None
        self._seen: dict[tuple[str, str, int], int] = {}
        self._guard = threading.Lock()

    @contextmanager
    def asked(self, seconds: float, what: str, stuck: Callable[[str], None]) -> Iterator[None]:
        """Enclose a call of the model's code that may take `seconds` (see `safety.guest.limited`)."""
        with limited(seconds, f"{self._name}: {what}", stuck), contained(self._name):
            yield

    def reason(self, error: Exception) -> str:
        """The error in one line, as it is stored."""
        return reason(error, *self._secrets)

    def traceback(self, error: Exception) -> str | None:
        """Where the error was raised, for the first ones of each place; None for errors that say what is wrong."""
        if isinstance(error, SpeechEvalError) and error.__cause__ is None:
            return None
        with self._guard:
            count = self._seen[place(error)] = self._seen.get(place(error), 0) + 1
        if count > _SAME_PLACE:
            return None
        found = trace(error, *self._secrets)
        if count == 1:
            logger.info("%s\n%s", self.reason(error), found)
        return found

    def withhold(self, task: str, output: Output, error: ModelUnavailable) -> None:
        """Hold back a failure that is certain to repeat: it says nothing about the sample.

        Raises `GivenUp` at the `IN_A_ROW`th in a row; nothing is stored for them, so the next call asks again.
        """
        with self._guard:
            self._withheld.append((task, output))
            self._certain = error
        if len(self._withheld) >= IN_A_ROW:
            self.settle()

    def released(self) -> list[tuple[str, Output]]:
        """The failures held back, as (task, output), to be stored after all: the model has answered since."""
        with self._guard:
            held, self._withheld = self._withheld, []
        return held

    def settle(self) -> None:
        """Raise `GivenUp` where the last requests failed in a way that is certain to repeat."""
        if self._withheld and self._certain is not None:
            count, error = len(self._withheld), self._certain
            self._withheld = []
            times = f"the last {count} requests" if count > 1 else "the last request"
            raise GivenUp(
                f"{self._name}: stopped, since {times} failed in a way that will not change by itself. {error.problem}",
                f"{error.remedy} Then give the same command again to go on.".strip(),
            ) from error

    def after(self, outcome: object, *, restart: bool = True) -> bool:
        """Act on an outcome that is stored: where the model was lost, that is out of time or its process ended, load it
        anew and return True.

        Raises `GivenUp` after `IN_A_ROW` losses, or where there is no way to load the model anew.
        """
        loss = _loss(outcome)
        if loss is None:
            self._losses = 0
            return False
        self._losses += 1
        if self._losses >= IN_A_ROW or not restart or self._rebuild is None:
            several = self._losses > 1
            times = f"{self._losses} answers in a row" if several else "an answer"
            what = ("were out of time" if several else "was out of time") if isinstance(loss, TimedOut) else "ended it"
            raise GivenUp(
                f"{self._name}: stopped, since {times} {what}. {loss.problem}",
                "Give the same command again to go on with the next sample, with a longer --timeout if need be.",
            )
        return self.renew(loss)

    def renew(self, error: object) -> bool:
        """Load the model anew where it was lost with `error`, and return whether that is so."""
        loss = _loss(error)
        if loss is None or self._rebuild is None:
            return False
        logger.warning("%s is loaded anew. %s", self._name, loss.problem)
        self.close()
        self.adapter = self._rebuild()
        return True

    def close(self) -> SpeechEvalError | None:
        """Close the adapter unless the caller gave it; returns what that raised."""
        if self._rebuild is None:
            return None
        try:
            with contained(f"{self._name}: {type(self.adapter).__name__}.close()"):
                self.adapter.close()
        except SpeechEvalError as error:
            return error
        except Exception as error:
            return SpeechEvalError(
                f"{self._name}: {type(self.adapter).__name__}.close() failed ({self.reason(error)}).",
                "Correct the method. The answers are stored and scored.",
            )
        return None


def _loss(outcome: object) -> SpeechEvalError | None:
    """The error with which the model was lost, `outcome` itself or one that it followed from; else None."""
    while isinstance(outcome, BaseException):
        if isinstance(outcome, TimedOut | ModelDied):
            return outcome
        outcome = outcome.__cause__
    return None
