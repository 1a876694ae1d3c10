"""All that the doctor looks at, in order, and how it repairs.

To add a check, write a function that takes the ``Project`` and yields findings
into the module that fits, and name it in ``CHECKS``.
"""

import subprocess
from collections.abc import Iterator

from kiln.health import cache, installation, leftovers, locks, surroundings
from kiln.health.project import Finding, Project

CHECKS = (
    *surroundings.CHECKS,
    installation.programs,
    installation.python_version,
    installation.packages,
    installation.disk,
    locks.lock_file,
    locks.rwlocks,
    locks.locks,
    leftovers.orphans,
    leftovers.detached,
    leftovers.experiments,
    leftovers.halves,
    leftovers.checkpoints,
    cache.partial_copies,
    installation.site_cache,
    surroundings.unknown_to_git,
    cache.incomplete,
)


def examine(project: Project, quick: bool) -> Iterator[Finding]:
    """Run all checks; ``quick`` leaves out the one that reads the whole cache."""
    for check in CHECKS if quick else (*CHECKS, cache.corrupt):
        yield from check(project)


def treat(finding: Finding, fix: bool) -> tuple[str, bool]:
    """Repair a finding where asked and possible.

    Returns:
        What to do, or what was done; and whether something is left for a person.
    """
    if not (fix and finding.fix):
        return finding.remedy, not finding.note
    try:
        return f"repaired: {finding.fix()}", False
    except (OSError, subprocess.CalledProcessError) as error:
        return f"could not be repaired: {error}", not finding.note
