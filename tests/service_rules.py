"""The rules of the services under ``replicas``: what they may import, and what of them is pure."""

from typing import Final

import crdtstore
from tests.layout_rules import (
    Complaints,
    Rule,
    bounds,
    broad_exceptions,
    docstrings,
    folder_depth,
    imports,
    impurities,
)

PURE_IN_SERVICES: Final = (
    "replicas/cdp/segments/conditions.py",
    "replicas/cdp/segments/membership.py",
    "replicas/cdp/segments/moments.py",
    "replicas/cdp/segments/operators.py",
    "replicas/cdp/consent.py",
    "replicas/cdp/events.py",
    "replicas/cdp/seen.py",
    "replicas/cdp/timeline.py",
    "replicas/cdp/wire.py",
    "replicas/crm/salesforce/",
    "replicas/crm/hubspot/",
    "replicas/crm/budget.py",
    "replicas/crm/conversation.py",
    "replicas/crm/crm.py",
    "replicas/crm/forms.py",
    "replicas/crm/link.py",
    "replicas/crm/mapping.py",
    "replicas/crm/rounds.py",
    "replicas/cdp/traits/conditions.py",
    "replicas/cdp/traits/definitions.py",
    "replicas/cdp/traits/durations.py",
    "replicas/cdp/traits/gathering.py",
    "replicas/cdp/traits/matching.py",
)
"""What is as pure in the services: above all, conversations with vendors."""

FACES: Final = frozenset({"errors", "logs", "schema", "server", "toml", "traits"})
"""The modules of the library, besides its own public names, that services may import."""

SHARED: Final = "embedding"
"""The package that all services may import; it imports none of them."""

PUBLIC: Final = frozenset(crdtstore.__all__)
"""The public names of the library."""


def service_imports(name: str, text: str) -> Complaints:
    """A service imports the public faces of the library, and no other service."""
    service = name.split("/")[1]
    for line, module in imports(text):
        folders = module.split(".")
        if folders[0] == "crdtstore":
            is_public = len(folders) == 1 or folders[1] in FACES | PUBLIC
            if len(folders) > 2 or not is_public:
                yield line, f"a service imports {module}"
        if folders[0] == "replicas" and folders[1:] and folders[1] not in (service, SHARED):
            yield line, f"service {service} imports {module}"


def pure_parts_of_services(name: str, text: str) -> Complaints:
    """What of a service is pure has no clock, no chance, no file, no network, nothing async."""
    if name.startswith(PURE_IN_SERVICES):
        yield from impurities(text)


SERVICE_RULES: Final[tuple[Rule, ...]] = (
    service_imports, pure_parts_of_services, folder_depth, docstrings, broad_exceptions, bounds,
)  # fmt: skip
"""What holds for the services that embed a replica."""
