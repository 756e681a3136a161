"""Policy: the choice of a survivorship policy and its options, as a plain value.

What each policy does to candidates stands in ``crdtstore.model.survivorship``.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from crdtstore import limits
from crdtstore.errors import InvalidName, SchemaError
from crdtstore.names import check_policy_name, check_source_name

Chooser: TypeAlias = Callable[[tuple[Any, ...]], Any]
"""A function of a policy of your own: from a tuple of ``crdtstore.Candidate`` to one of them."""

POLICY_OPTIONS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "recency": (),
        "source_priority": ("sources",),
        "frequency": (),
        "oldest": (),
        "minimum": (),
        "maximum": (),
        "longest": (),
        "trust_decay": ("trust", "default"),
        "fill_only": ("sources",),
    }
)
"""The survivorship policies, and the options that belong to each."""


@dataclass(frozen=True, slots=True)
class Trust:
    """How far a source is trusted, 0 to 100: from ``start`` down to ``floor`` in ``decay_days``."""

    start: int
    floor: int
    decay_days: int

    def __post_init__(self) -> None:
        for name in ("start", "floor", "decay_days"):
            if type(getattr(self, name)) is not int:
                raise SchemaError(f"trust: {name} is a whole number")
        if not 0 <= self.floor <= self.start <= limits.TRUST_MAX:
            raise SchemaError(
                f"trust: start {self.start} and floor {self.floor} lie between 0 and "
                f"{limits.TRUST_MAX}, and the floor not above the start"
            )
        if not 1 <= self.decay_days <= limits.DECAY_DAYS_MAX:
            raise SchemaError(
                f"trust: decay_days is 1 to {limits.DECAY_DAYS_MAX:,}, not {self.decay_days}"
            )

    @property
    def content(self) -> list[int]:
        """The numbers of this trust, as JSON."""
        return [self.start, self.floor, self.decay_days]


@dataclass(frozen=True, slots=True)
class Policy:
    """A survivorship policy and its options; the functions below make one of each name.

    ``sources`` are the preferred ones of ``source_priority``, best first, or the fillers of
    ``fill_only``; ``trust`` and ``default`` belong to ``trust_decay``; ``choose`` and ``version``
    to a policy of your own: see ``custom``. ``crdtstore.model.survivorship`` says what each of
    the others does. Raises SchemaError.
    """

    name: str
    sources: tuple[str, ...] = ()
    trust: Mapping[str, Trust] = field(default_factory=dict, hash=False)
    default: Trust | None = None
    choose: Chooser | None = None
    version: int = 0

    def __post_init__(self) -> None:
        options = POLICY_OPTIONS.get(self.name) if isinstance(self.name, str) else None
        if self.choose is not None:
            self._check_own(is_taken=options is not None)
            options = ()
        elif options is None:
            raise SchemaError(
                f"{self.name!r} is no survivorship policy; there are {', '.join(POLICY_OPTIONS)}. "
                "One of your own is a function, which a schema takes in Python: see "
                "crdtstore.schema.custom"
            )
        elif self.version:
            raise SchemaError(f"{self.name}: takes no option 'version'")
        object.__setattr__(
            self,
            "sources",
            distinct_names(self.sources, check_source_name, f"{self.name}: sources"),
        )
        if not isinstance(self.trust, Mapping):
            raise SchemaError(f"{self.name}: trust maps sources to their trust")
        object.__setattr__(self, "trust", MappingProxyType(dict(self.trust)))
        self._check_options(options)

    def _check_own(self, *, is_taken: bool) -> None:
        check_schema_name(self.name, check_policy_name, "a policy of your own")
        if is_taken:
            raise SchemaError(f"{self.name!r} is a policy that there is; call your own otherwise")
        if not callable(self.choose):
            raise SchemaError(f"{self.name}: is a function of candidates, not {self.choose!r}")
        if type(self.version) is not int or self.version < 1:
            raise SchemaError(f"{self.name}: version is a number from 1, not {self.version!r}")

    def _check_options(self, options: tuple[str, ...]) -> None:
        given = {"sources": self.sources, "trust": self.trust, "default": self.default}
        for option, value in given.items():
            if option not in options and value:
                raise SchemaError(f"{self.name}: takes no option {option!r}")
        if "sources" in options and not self.sources:
            raise SchemaError(f"{self.name}: the option 'sources' names at least one source")
        if "trust" in options and not self.trust:
            raise SchemaError(f"{self.name}: the option 'trust' names at least one source")
        for source, trust in self.trust.items():
            check_schema_name(source, check_source_name, f"{self.name}: trust")
            if not isinstance(trust, Trust):
                raise SchemaError(f"{self.name}: the trust of {source!r} is not a Trust")
        if self.default is not None and not isinstance(self.default, Trust):
            raise SchemaError(f"{self.name}: the default is not a Trust")

    @property
    def content(self) -> list[object]:
        """The meaning of the policy as JSON: equal for policies that choose alike.

        A function has no such form, so name and version stand for one of your own.
        """
        if self.choose is not None:
            return ["custom", self.name, self.version]
        sources = sorted(self.sources) if self.name == "fill_only" else list(self.sources)
        trusts = {source: trust.content for source, trust in self.trust.items()}
        return [self.name, sources, trusts, self.default and self.default.content]

    def __reduce__(self) -> tuple[Any, ...]:
        options = (self.sources, dict(self.trust), self.default, self.choose, self.version)
        return Policy, (self.name, *options)


def recency() -> Policy:
    """The newest candidate survives. The default."""
    return Policy("recency")


def source_priority(*sources: str) -> Policy:
    """The candidate of the best source survives; sources that are not named come last."""
    return Policy("source_priority", sources=sources)


def frequency() -> Policy:
    """The value that most sources assert survives."""
    return Policy("frequency")


def oldest() -> Policy:
    """The candidate with the smallest timestamp survives."""
    return Policy("oldest")


def minimum() -> Policy:
    """The least value survives."""
    return Policy("minimum")


def maximum() -> Policy:
    """The greatest value survives."""
    return Policy("maximum")


def longest() -> Policy:
    """The longest text survives."""
    return Policy("longest")


def trust_decay(trust: Mapping[str, Trust], *, default: Trust | None = None) -> Policy:
    """The most trusted candidate survives; trust falls with age. No default is no trust at all."""
    return Policy("trust_decay", trust=trust, default=default)


def fill_only(*fillers: str) -> Policy:
    """The newest candidate survives, but one of a filler source only where no other has a value."""
    return Policy("fill_only", sources=fillers)


def custom(name: str, choose: Chooser, *, version: int = 1) -> Policy:
    """Return a policy of your own: ``choose`` gets the candidates and returns the survivor.

    It gets a tuple of two or more ``crdtstore.Candidate``, at most one of each source (in a person:
    of each source and profile), and returns one of these objects. The survivor must depend on
    nothing but them: not on their order, nor on a clock, on chance, or on what was asked before.
    ``crdtstore.testing.check_policy`` proves that.
    In a group, a candidate's value is the map of what its source says about the members.

    Name and version stand for the function in the digest of the schema, by which replicas find
    out that they read alike: raise the version when the function chooses otherwise.
    """
    return Policy(name, choose=choose, version=version)


def check_schema_name(name: object, check: Callable[[object], None], where: str) -> None:
    """Check a name that a schema uses; raises SchemaError, which says where."""
    try:
        check(name)
    except InvalidName as error:
        raise SchemaError(f"{where}: {error}") from None


def distinct_names(
    names: Iterable[str], check: Callable[[object], None], where: str
) -> tuple[str, ...]:
    """Return checked names as a tuple; raises SchemaError for a bad or a repeated one."""
    if isinstance(names, (str, Mapping)) or not isinstance(names, Iterable):
        raise SchemaError(f"{where}: is a list of names, not {names!r}")
    distinct: dict[str, None] = {}
    for name in names:
        check_schema_name(name, check, where)
        if name in distinct:
            raise SchemaError(f"{where}: {name!r} stands there twice")
        distinct[name] = None
    return tuple(distinct)
