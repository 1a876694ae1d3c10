"""What the doctor looks at of what killed experiments, stages and trainings leave behind."""

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil

from kiln.health.project import FIX, Finding, Project, is_dvc, shown, stage_of, words_of
from kiln.health.traces import SETTLED, age, delete, size

CHECKPOINT_DAYS = 14


def orphans(project: Project) -> Iterator[Finding]:
    """Stages that outlived the DVC that started them."""
    for process in psutil.process_iter():
        stage = stage_of(words_of(process.pid))
        with contextlib.suppress(psutil.Error):
            if (
                stage
                and Path(process.cwd()).is_relative_to(project.root)
                and "DVC_STAGE" in process.environ()
                and not any(is_dvc(words_of(parent.pid)) for parent in process.parents())
            ):
                yield Finding(
                    f"process {process.pid} ({stage}) outlived the DVC that started it",
                    "it will overwrite what the next `dvc repro` writes",
                    f"`kill {process.pid}`",
                )


def detached(project: Project) -> Iterator[Finding]:
    """A `dvc exp run` that was killed: git may be on no branch, and DVC takes its base for HEAD from then on."""
    refs = [f"refs/exps/exec/{name}" for name in ("EXEC_BASELINE", "EXEC_MERGE", "EXEC_BRANCH")]
    left = (project.git("for-each-ref", "--format=%(refname)", *refs) or "").split()
    if not left or project.busy:
        return
    on_branch = project.git("symbolic-ref", "--quiet", "HEAD") is not None
    here = (project.git("for-each-ref", "--points-at=HEAD", "--format=%(refname)", "refs/heads") or "").split()

    def clear() -> str:
        if not on_branch:
            # No file changes: the branch points at this very commit.
            project.git("symbolic-ref", "HEAD", here[0])
        for ref in left:
            # EXEC_BRANCH is another name of an experiment, which stays.
            project.git("update-ref", "--no-deref", "-d", ref)
        # DVC sets it within the second in which git has looked at it, and as long as it was: git would see no change.
        (project.root / "params.yaml").touch()
        return delete(project.tmp / "exps/run/workspace", then="`git diff params.yaml` shows what it had set")

    branch = here[0].removeprefix("refs/heads/") if here else "BRANCH"
    safe = on_branch or len(here) == 1
    yield Finding(
        "a `dvc exp run` was killed" + ("" if on_branch else ", and git is on no branch"),
        "DVC takes its base for HEAD" + ("" if on_branch else ", and your next commit would be on no branch"),
        FIX if safe else f"`git switch {branch}`, then {FIX}",
        clear if safe else None,
    )


def experiments(project: Project) -> Iterator[Finding]:
    """Folders in which an experiment ran that was killed."""
    if project.busy:
        return
    for path in sorted([*project.tmp.glob("exps/tmp*"), *project.tmp.glob("exps/standalone/tmp*")]):
        if path.is_dir() and age(path) > SETTLED:
            yield Finding(
                f"{shown(path, project)} is left of a killed experiment, {size(path) / 1e6:,.1f} MB",
                "DVC never deletes it and may show the experiment as running",
                "delete it, or run with --fix, and run the experiment again",
                partial(delete, path),
            )


def halves(project: Project) -> Iterator[Finding]:
    """What a killed stage of Kiln had half written."""
    if project.busy:
        return
    patterns = ("data/.*.partial", "data/.downloads/*.partial", "metrics/.*.partial")
    for path in sorted(path for pattern in patterns for path in project.root.glob(pattern)):
        if age(path) > SETTLED:
            why = f"it takes {size(path) / 1e6:,.1f} MB, and only the same stage would clear it"
            remedy = f"delete it, or {FIX}"
            yield Finding(f"{shown(path, project)} is left of a killed stage", why, remedy, partial(delete, path))


def checkpoints(project: Project) -> Iterator[Finding]:
    """Trainings that were not finished."""
    for path in sorted((project.root / "data/.checkpoints").glob("*")):
        days = age(path) / 86400
        what = f"{shown(path, project)}: {size(path) / 1e6:,.1f} MB, {days:.0f} days old"
        if days <= CHECKPOINT_DAYS:
            why = "training resumes from it with the same params, data and code"
            yield Finding(what, why, "keep it, or delete it", note=True)
        elif not project.busy:
            why = "a training that was killed, and not taken up again"
            yield Finding(what, why, f"delete it, or {FIX}", partial(delete, path))
