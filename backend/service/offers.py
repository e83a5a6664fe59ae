"""The models that clients may choose from, and what the worker found wrong with them.  No sockets, no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ...protocol.errors import FarplaneError
from ...protocol.events import ModelInfo
from ...protocol.shot import validate_length

Fault = tuple[str, str, str]  # field, problem, remedy

MAX_TITLE = 1000  # bytes; what the wire takes


class Offers:
    """models : says at each call what there is.  longest : frames of the longest shot of one by name, None for any.

    may_name : whether the client with this public key may name a model by its folder's path.
    """

    def __init__(
        self,
        models: Callable[[], Sequence[ModelInfo]],
        longest: Callable[[str], int | None],
        may_name: Callable[[str, str], bool],
    ) -> None:
        self._models = models
        self._longest = longest
        self._may_name = may_name
        self._faults: dict[str, Fault] = {}

    def told(self) -> tuple[ModelInfo, ...]:
        """The models as clients are told them: one that would not load is not ready, and its title says why."""
        return tuple(
            _faulty(model, self._faults[model.name]) if model.name in self._faults else model
            for model in self._models()
        )

    def ready(self) -> list[str]:
        """The names of those whose weights are there, whether or not they load."""
        return [model.name for model in self._models() if model.state == "ready"]

    def faulty(self) -> list[str]:
        """The names of those that would not load when they were last looked at."""
        return list(self._faults)

    def learn(self, name: str, fault: Fault | None) -> None:
        """Note what the worker found; of a folder that a client named by its path nothing is kept."""
        self._faults.pop(name, None)
        if fault is not None and name in self.ready():
            self._faults[name] = fault

    def check(self, name: str, frames: int, key: str) -> None:
        """Raise FarplaneError for a model that is not offered, whose weights are not there, or that renders no shot of
        so many frames.  What a folder holds that is named by its path, the worker says, if this client may know."""
        offered = {model.name: model for model in self._models()}
        if name in offered:
            if offered[name].state == "missing":
                raise FarplaneError("model", f"{name} is not on the backend's machine", "Run `farplane models` there")
            validate_length(frames, self._longest(name), name)
        elif any(separator in name for separator in "/\\"):
            if not self._may_name(key, name):  # in the same words whether or not there is such a folder
                problem = f"{name!r} is not offered here; only the backend's own user may name a folder there"
                remedy = f"Choose one of {', '.join(sorted(offered))}" if offered else "Choose a model by its name"
                raise FarplaneError("model", problem, f"{remedy}, or ask whoever runs the backend to allow the folder")
        elif offered:
            raise FarplaneError("model", f"{name!r} is unknown", f"Choose one of {', '.join(sorted(offered))}")


def _faulty(model: ModelInfo, fault: Fault) -> ModelInfo:
    return replace(model, state="missing", title=fault[1].encode()[:MAX_TITLE].decode(errors="ignore"))
