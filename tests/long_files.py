"""The files that take longest: they begin first, so that none is left running alone at the end."""

from pathlib import Path
from typing import Final

LONG_FILES: Final = (
    "benchmarks/test_smoke.py",
    "simulation/test_convergence.py",
    "testing/test_outside.py",
    "processes/test_backup_restore.py",
    "faults/test_faults.py",
    "testing/test_check_policy.py",
    "docs/test_python_examples.py",
    "demo/test_demo.py",
    "replicas/crm/test_convergence.py",
    "processes/test_snapshot.py",
    "replicas/cdp/traits/test_folding_kill.py",
    "links/test_repair_links.py",
    "replicas/cdp/test_processes.py",
    "processes/test_erasure.py",
    "replicas/cdp/test_convergence.py",
    "cli/test_commands.py",
    "collaboration/test_trials.py",
    "storage/test_storage_model.py",
    "processes/test_stream_kill.py",
    "benchmarks/test_linking.py",
    "replicas/cdp/projections/test_kill.py",
    "storage/test_storage_faults.py",
    "storage/test_commit_log.py",
    "processes/test_text_kill.py",
    "engine/test_growth.py",
    "simulation/test_origins_at_rest.py",
)
"""In seconds, on two cores: from 45 down to 5."""

_TESTS: Final = Path(__file__).parent
_PLACES: Final = {_TESTS / name: place for place, name in enumerate(LONG_FILES)}


def place_of(path: Path) -> int:
    """Return the place of a file among the long ones; all others come behind."""
    return _PLACES.get(path, len(_PLACES))
