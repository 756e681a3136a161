"""Definitions of traits: a TOML file, read and checked whole before anything is folded.

[traits.orders_30d]
event = "Order Completed"
fold = "count"
window = "30d"

[traits.revenue]
event = ["Order Completed", "Order Refunded"]
fold = "sum"
property = "total"
decimals = 2
unit = "EUR"
where = { currency = "EUR" }
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from crdtstore import Field, Schema
from crdtstore.errors import InvalidValue
from crdtstore.toml import parse_toml
from crdtstore.traits import FOLDS, IN_WINDOWS, check_definition
from replicas.cdp import limits
from replicas.cdp.errors import DefinitionInvalid
from replicas.cdp.events import KINDS
from replicas.cdp.traits.conditions import condition_of, getter_of
from replicas.cdp.traits.durations import duration_ms
from replicas.cdp.traits.gathering import gatherer_of

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_AMOUNTS: Final = ("sum", "average", "minimum", "maximum")
_WITHOUT_PROPERTY: Final = ("count", "sessions")
_KEYS: Final[Mapping[str, tuple[type, ...]]] = {
    "fold": (str,), "event": (str, list), "kind": (str,), "property": (str,), "where": (dict,),
    "window": (str,), "bucket": (str,), "decimals": (int,), "unit": (str,), "minimum": (int,),
    "gap": (str,), "ranks": (list,), "accuracy": (int, float), "hashes_log2": (int,),
    "version": (int,), "description": (str,),
}  # fmt: skip
_ONLY: Final[Mapping[str, tuple[str, ...]]] = {
    "decimals": _AMOUNTS, "minimum": ("most_frequent",), "gap": ("sessions",),
    "ranks": ("quantiles",), "accuracy": ("quantiles",), "hashes_log2": ("unique_count",),
    "window": tuple(sorted(IN_WINDOWS)), "bucket": tuple(sorted(IN_WINDOWS)),
}  # fmt: skip
_DECIMALS: Final = 6
_BUCKETS: Final = 30


@dataclass(frozen=True, slots=True)
class Definition:
    """One trait: from which events it is folded, what of them, and how.

    ``events`` are names, none for all of the kind. ``fold`` and ``options`` are what the store's
    ``fold_in`` takes. ``digest`` stands for everything that decides the values.
    """

    name: str
    fold: str
    options: list[Any]
    kind: str = "track"
    events: tuple[str, ...] = ()
    property_path: str = ""
    where: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1
    unit: str = ""
    description: str = ""

    @property
    def digest(self) -> str:
        """32 hex digits: the same for definitions that fold the same of the same events."""
        content = [
            self.fold, self.options, self.kind, sorted(self.events), self.property_path, self.where,
        ]  # fmt: skip
        canonical = json.dumps(content, sort_keys=True).encode()
        return hashlib.blake2b(canonical, digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class TraitDefinitions:
    """All definitions, by name. Raises DefinitionInvalid, which says what is wrong and where."""

    by_name: Mapping[str, Definition] = field(default_factory=dict)

    @classmethod
    def load(cls, path: str | Path) -> "TraitDefinitions":
        """Return the definitions in a TOML file."""
        path = Path(path)
        try:
            if path.stat().st_size > limits.TRAITS_FILE_BYTES_MAX:
                raise DefinitionInvalid("the file is too large")
            return cls.parse(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise DefinitionInvalid(f"cannot read {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise DefinitionInvalid(f"{path}: is not UTF-8 text") from None
        except DefinitionInvalid as error:
            raise DefinitionInvalid(f"{path}: {error}") from None

    @classmethod
    def parse(cls, text: str) -> "TraitDefinitions":
        """Return the definitions in a TOML text."""
        try:
            table = parse_toml(text)
        except ValueError as error:
            raise DefinitionInvalid(f"this is not TOML: {error}") from None
        traits = table.pop("traits", {})
        if table or type(traits) is not dict:
            raise DefinitionInvalid("a file of traits has tables [traits.NAME], and nothing else")
        if len(traits) > limits.DEFINITIONS_MAX:
            raise DefinitionInvalid(
                f"{len(traits):,} traits; the limit is {limits.DEFINITIONS_MAX}"
            )
        found = {}
        for name, body in traits.items():
            try:
                found[name] = _definition_of(name, body)
            except (DefinitionInvalid, InvalidValue) as error:
                raise DefinitionInvalid(f"traits.{name}: {error}") from None
        return cls(found)

    def declared(self, schema: Schema | None = None) -> Schema:
        """Return a schema that declares the traits too; raises DefinitionInvalid.

        A field that is declared is written faster, and is of no other kind by mistake.
        """
        schema = schema or Schema()
        fields = dict(schema.fields)
        for name in self.by_name:
            if schema.kind_of(name) not in (None, "trait"):
                raise DefinitionInvalid(
                    f"traits.{name}: the schema declares a {schema.kind_of(name)} of this name"
                )
            fields.setdefault(name, Field("trait"))
        return replace(schema, fields=fields)


def _definition_of(name: str, body: Any) -> Definition:
    if not _NAME.fullmatch(name):
        raise DefinitionInvalid("a trait's name is in snake_case, of at most 64 characters")
    _check_keys(body)
    fold = body["fold"]
    where = body.get("where", {})
    events = body.get("event", ())
    definition = Definition(
        name=name,
        fold="windows" if "window" in body else fold,
        options=_options_of(fold, body),
        kind=body.get("kind", "track"),
        events=(events,) if type(events) is str else tuple(events),
        property_path=body.get("property", ""),
        where=where,
        version=body.get("version", 1),
        unit=body.get("unit", ""),
        description=body.get("description", ""),
    )
    if definition.kind not in KINDS:
        raise DefinitionInvalid(f"kind is one of {', '.join(KINDS)}, not {definition.kind!r}")
    if not all(type(event) is str and event for event in definition.events):
        raise DefinitionInvalid("event is a name, or a list of names")
    if definition.version < 1:
        raise DefinitionInvalid("version begins with 1")
    if (fold in _WITHOUT_PROPERTY) == bool(definition.property_path):
        takes = "takes no property" if definition.property_path else "needs a property"
        raise DefinitionInvalid(f"{fold} {takes}")
    check_definition(definition.version, definition.fold, definition.options)
    gatherer_of(definition.fold, definition.options)
    condition_of(where)
    if definition.property_path:
        getter_of(definition.property_path)
    return definition


def _check_keys(body: Any) -> None:
    if type(body) is not dict:
        raise DefinitionInvalid("is a table")
    for key, value in body.items():
        if key not in _KEYS:
            raise DefinitionInvalid(f"{key!r} is unknown; a trait takes {', '.join(_KEYS)}")
        if type(value) not in _KEYS[key]:
            kinds = " or ".join(kind.__name__ for kind in _KEYS[key])
            raise DefinitionInvalid(f"{key} is a {kinds}, not {value!r}")
    fold = body.get("fold")
    if fold not in FOLDS or fold == "windows":
        folds = ", ".join(name for name in FOLDS if name != "windows")
        raise DefinitionInvalid(f"fold is one of {folds}, not {fold!r}")
    for key, folds_with in _ONLY.items():
        if key in body and fold not in folds_with:
            raise DefinitionInvalid(f"{key} goes with {', '.join(folds_with)}, not with {fold}")
    if "bucket" in body and "window" not in body:
        raise DefinitionInvalid("bucket goes with window")


def _options_of(fold: str, body: Mapping[str, Any]) -> list[Any]:
    options: list[Any] = []
    if fold in _AMOUNTS:
        options = [body.get("decimals", _DECIMALS)]
    elif fold == "most_frequent":
        options = [body.get("minimum", 2)]
    elif fold == "sessions":
        options = [duration_ms(body.get("gap", "30m"), "gap")]
    elif fold == "unique_count":
        options = [body.get("hashes_log2", 7 if "window" in body else 10)]
    elif fold == "quantiles":
        options = [_whole(body.get("accuracy", 1), 10, "accuracy")]
        options += [_whole(rank, 100, "a rank") for rank in body.get("ranks", [50, 90, 99])]
    if "window" not in body:
        return options
    window_ms = duration_ms(body["window"], "window")
    bucket_ms = _bucket_ms(window_ms, body)
    return [bucket_ms, window_ms // bucket_ms, fold, options]


def _bucket_ms(window_ms: int, body: Mapping[str, Any]) -> int:
    """Return the width of a bucket: a window has 30, unless it is said otherwise."""
    if "bucket" not in body:
        return window_ms // _BUCKETS if window_ms % _BUCKETS == 0 else window_ms
    bucket_ms: int = duration_ms(body["bucket"], "bucket")
    if window_ms % bucket_ms:
        raise DefinitionInvalid("a window is a whole number of buckets")
    return bucket_ms


def _whole(number: Any, factor: int, what: str) -> int:
    """Return a percentage in smaller units."""
    scaled: float = round(number * factor, 6) if type(number) in (int, float) else -1
    if not 0 <= scaled <= 1e6 or scaled != round(scaled):
        raise DefinitionInvalid(f"{what} is a percentage with a step of 1/{factor}, not {number!r}")
    return round(scaled)
