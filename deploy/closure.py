"""Checks that a set of installed packages is complete: each requirement is present in an accepted version.

uv can check an environment only. A unit is a folder for another platform and another Python version.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_MACHINES = {"arm64": "aarch64", "x86_64": "x86_64"}


def lambda_markers(python: str, arch: str) -> dict[str, str]:
    """The environment for requirement markers: CPython of this minor version on Linux."""
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{python}.0",
        "os_name": "posix",
        "platform_machine": _MACHINES[arch],
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }


def unmet(
    distributions: Iterable[Distribution], markers: Mapping[str, str], extras: Mapping[str, set[str]] | None = None
) -> list[str]:
    """One sentence for each missing requirement; an empty list when the set is complete.

    `extras` are the extras that a lock names for each package. A required extra that the lock does not name is missing.
    """
    present = {canonicalize_name(each.name): each for each in distributions}
    visited: dict[str, set[str]] = {}
    queue = deque((name, frozenset({""}) | frozenset((extras or {}).get(name, ()))) for name in present)
    faults: dict[str, None] = {}
    while queue:
        name, wanted = queue.popleft()
        for extra in sorted(wanted - visited.setdefault(name, set())):
            visited[name].add(extra)
            for requirement in _requirements(present[name], extra, markers):
                other = canonicalize_name(requirement.name)
                if fault := _fault(requirement, present.get(other), extras):
                    faults[f"{name} requires {requirement}, and {fault}"] = None
                if other in present:
                    queue.append((other, frozenset(requirement.extras)))
    return list(faults)


def _requirements(distribution: Distribution, extra: str, markers: Mapping[str, str]) -> list[Requirement]:
    """The requirements that apply with this extra; an empty extra means none."""
    parsed = [Requirement(line) for line in distribution.requires or ()]
    return [each for each in parsed if each.marker is None or each.marker.evaluate({**markers, "extra": extra})]


def _fault(requirement: Requirement, found: Distribution | None, extras: Mapping[str, set[str]] | None) -> str:
    if found is None:
        return "it is missing"
    if not requirement.specifier.contains(found.version, prereleases=True):
        return f"{found.version} is installed"
    name = canonicalize_name(requirement.name)
    if extras is not None and not requirement.extras <= extras.get(name, set()):
        return f"the lock names no {'[' + ','.join(sorted(requirement.extras)) + ']'}"
    return ""
