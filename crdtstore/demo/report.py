"""Report: the outcome of the demo, as one value."""

from dataclasses import dataclass, field

from crdtstore.demo.audit import Audit
from crdtstore.demo.golden import ExplainedRecord
from crdtstore.demo.persons import StewardStory


@dataclass(slots=True)
class Report:
    """What was done, how long it took, and what was found. ``error`` is empty if all is well.

    ``linked`` are the persons whose two profiles were found to be one, ``linked_wrongly`` those
    that also have a profile of somebody else. ``seconds`` has one entry a step. ``commands`` are
    those printed for a person to try.
    """

    converged: bool = False
    error: str = ""
    persons: int = 0
    urls: dict[str, str] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    writes_acknowledged: dict[str, int] = field(default_factory=dict)
    edits_acknowledged: dict[str, int] = field(default_factory=dict)
    load_edits_per_s: float = 0.0
    counters_expected: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    audit: Audit | None = None
    golden_records: list[ExplainedRecord] = field(default_factory=list)
    linked: int = 0
    linked_wrongly: int = 0
    steward: StewardStory | None = None
    commands: list[str] = field(default_factory=list)
