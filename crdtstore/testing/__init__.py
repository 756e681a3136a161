"""The public toolkit: proof that your schema, policy, kind of cell and writers converge.

What draws examples needs Hypothesis, which comes with ``pip install "crdtstore[testing]"``;
``Trial`` does not.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crdtstore.testing.broken import LawBroken
    from crdtstore.testing.cell_laws import CellKind, check_cell
    from crdtstore.testing.drawing import writes
    from crdtstore.testing.history import History, histories
    from crdtstore.testing.machine import ConvergenceMachine, check_convergence
    from crdtstore.testing.policy_laws import check_policy
    from crdtstore.testing.replica_under_test import AsyncReplicaUnderTest, ReplicaUnderTest
    from crdtstore.testing.strategies import schemas, values
    from crdtstore.testing.trial import Trial

__all__ = [
    "AsyncReplicaUnderTest",
    "CellKind",
    "ConvergenceMachine",
    "History",
    "LawBroken",
    "ReplicaUnderTest",
    "Trial",
    "check_cell",
    "check_convergence",
    "check_policy",
    "histories",
    "schemas",
    "values",
    "writes",
]

_HOMES = {
    "AsyncReplicaUnderTest": "replica_under_test",
    "CellKind": "cell_laws",
    "ConvergenceMachine": "machine",
    "History": "history",
    "LawBroken": "broken",
    "ReplicaUnderTest": "replica_under_test",
    "Trial": "trial",
    "check_cell": "cell_laws",
    "check_convergence": "machine",
    "check_policy": "policy_laws",
    "histories": "history",
    "schemas": "strategies",
    "values": "strategies",
    "writes": "drawing",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.{home}")
    except ModuleNotFoundError as error:
        if error.name != "hypothesis":
            raise
        raise ModuleNotFoundError(
            f"crdtstore.testing.{name} needs Hypothesis; install crdtstore[testing]",
            name="hypothesis",
        ) from None
    return getattr(module, name)
