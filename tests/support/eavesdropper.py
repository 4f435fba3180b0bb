"""Listens to what brokers in this process send to the cloud, and read from its answers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import broker_calls
import vendor_models
from tallies import Action, Tally, paths

_BROKERS = "alibroker.brokers."
_PROTOCOL = frozenset(("Action", "Version", "Format", "RegionId", "Timestamp", "AccessKeyId"))


class Eavesdropper:
    """What was heard.

    Attributes:
        answered: What was sent and ended well, and what its answers had.
        read: What was read from answers, as paths, by action.
    """

    def __init__(self) -> None:
        self.answered = Tally()
        self.read = Tally()
        self._answered: list[tuple[Action, set[str], set[str]]] = []
        self._read: dict[tuple[Action, str], None] = {}
        self._listening: set[str] = set()

    def listen(self) -> None:
        """Begin to listen to those clients that somebody has imported."""
        for name, begin in (
            ("alibabacloud.client", self._to_client),
            ("oss.buckets", self._to_buckets),
            ("alibabacloud.sources", self._to_sources),
        ):
            module = sys.modules.get(_BROKERS + name)
            if module is not None and name not in self._listening:
                self._listening.add(name)
                begin(module)

    def _to_client(self, module: Any) -> None:
        call = module.CloudClient.call

        def heard(client: Any, product: Any, request: Any, *, secrets: Any = None) -> Any:
            answer = call(client, product, request, secrets=secrets)
            action = product.prefix, request.get_action_name()
            sent = {*request.get_query_params(), *(request.get_body_params() or ())}
            names = {name.partition(".")[0] for name in sent if not name.startswith("Signature")}
            return self._trace(answer, action, names - _PROTOCOL)

        module.CloudClient.call = heard

    def _to_buckets(self, module: Any) -> None:
        call = module.Buckets.call

        def heard(buckets: Any, action: str, *given: Any, **named: Any) -> Any:
            result = call(buckets, action, *given, **named)
            self._answered.append((("oss", action), set(), set()))
            return result

        module.Buckets.call = heard

    def _to_sources(self, module: Any) -> None:
        read, ask = module._json, module._ask

        def asked(method: str, url: str, **more: Any) -> Any:
            answer = ask(method, url, **more)
            answer.sent = more.get("data") or {}
            return answer

        def heard(answer: Any, source: str) -> Any:
            document = read(answer, source)
            sent = getattr(answer, "sent", {})
            if "Action" not in sent:
                return document
            names = {name for name in sent if not name.startswith("Signature")} - _PROTOCOL
            return self._trace(document, ("sts", sent["Action"]), names)

        module._ask, module._json = asked, heard

    def _trace(self, answer: Mapping[str, Any], action: Action, sent: set[str]) -> Any:
        self._answered.append((action, sent, set(paths(answer))))
        return _traced(answer, "", lambda path: self._read.setdefault((action, path)))

    def complaints(self) -> list[str]:
        """Count what is new, and return what was read that the vendor's models do not have."""
        for call in self._answered:
            self.answered.add(*call)
        for action, path in self._read:
            self.read.add(action, (), (path,))
        found = [
            f"{action[1]} of {action[0]}: {path} is read, which is not a field"
            for action, path in self._read
            if not _is_field(action, path)
        ]
        self.forget()
        return found

    def forget(self) -> None:
        """Do not count what is new."""
        self._answered.clear()
        self._read.clear()

    def missing(self) -> Iterator[str]:
        """Yield what the brokers' code names and nothing has witnessed."""
        for action, names in sorted(broker_calls.actions().items()):
            where = f"{action[1]} of {action[0]}"
            if action not in self.answered.parameters:
                yield f"{where} was never answered"
                continue
            for name in sorted(names - self.answered.parameters[action]):
                yield f"{where} was never sent with {name}"
        for folder, names in broker_calls.fields().items():
            for name in sorted(names - self.names_read(folder)):
                yield f"brokers/{folder} never read {name}"
        for action, some in sorted(self.read.fields.items()):
            for path in sorted(some - self.answered.fields[action]):
                yield f"{action[1]} of {action[0]} never answered {path}, which is read"

    def names_read(self, folder: str) -> set[str]:
        """Return the names of fields that were read from answers of a folder's products."""
        return {
            path.rpartition("/")[2]
            for (product, _), some in self.read.fields.items()
            if product in broker_calls.PRODUCTS[folder]
            for path in some
        }


class _Traced(dict[str, Any]):
    """A part of an answer that tells what is asked of it."""

    def __init__(self, content: Mapping[str, Any], path: str, note: Callable[[str], None]) -> None:
        super().__init__(
            {name: _traced(one, f"{path}/{name}", note) for name, one in content.items()}
        )
        self._path = path
        self._note = note

    def __getitem__(self, name: str) -> Any:
        self._note(f"{self._path}/{name}")
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self._note(f"{self._path}/{name}")
        return super().get(name, default)


def _traced(value: Any, path: str, note: Callable[[str], None]) -> Any:
    if isinstance(value, dict):
        return _Traced(value, path, note)
    if isinstance(value, list):
        return [_traced(one, path, note) for one in value]
    return value


def _is_field(action: Action, path: str) -> bool:
    product, name = action
    model = vendor_models.answer(product, name)
    for part in path.split("/")[1:]:
        if model is None or part not in model:
            return False
        model = vendor_models.model(product, model[part].kind)
    return True
