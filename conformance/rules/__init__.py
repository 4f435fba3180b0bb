"""The checks: one module per theme."""

from __future__ import annotations

from alibroker.conformance.checks import Check, registered
from alibroker.conformance.rules import (
    answers,
    authentication,
    binding,
    bodies,
    catalog,
    catalog_limits,
    catalog_schemas,
    concurrency,
    creating,
    deprovisioning,
    fetching,
    identifiers,
    identities,
    operations,
    orphans,
    provisioning,
    rotation,
    unbinding,
    unknown,
    updating,
    versions,
)

# Within a stage what is urgent comes first: requests that have to meet a running operation.
_ORDER = tuple(
    module.__name__
    for module in (
        catalog,
        catalog_schemas,
        catalog_limits,
        authentication,
        versions,
        identities,
        bodies,
        unknown,
        concurrency,
        creating,
        provisioning,
        identifiers,
        fetching,
        updating,
        binding,
        rotation,
        unbinding,
        deprovisioning,
        orphans,
        answers,
        operations,
    )
)


def all_checks() -> tuple[Check, ...]:
    """Return all checks in the order in which they run within their stages."""
    return tuple(sorted(registered(), key=lambda one: _ORDER.index(one.run.__module__)))
