"""The picture of the house: which room of kiln/ may import which, and that dvc.yaml lists what a stage reaches."""

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from makers.projects import ROOT, STAGES
from ruamel.yaml import YAML

DVC = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text())
# From the ground up: a room imports those before it, for the reason beside it, and no others.
ROOMS = {
    "core": {},
    "params": {"core": "errors of the user"},
    "modalities": {"core": "errors, formats, threads, randomness"},
    "store": {"core": "files, errors"},
    "sources": {
        "core": "downloads, formats, errors",
        "modalities": "which files and bytes are samples",
        "params": "the section fetch",
    },
    "quality": {
        "core": "randomness, connected components",
        "modalities": "how a finding is shown",
        "store": "the samples that it splits",
    },
    "networks": {
        "core": "randomness, files, errors",
        "modalities": "the conversion that stands beside the weights",
        "params": "the section train",
    },
    "training": {
        "core": "files, threads, errors",
        "networks": "what is trained, and Keras",
        "params": "the section train",
        "store": "the batches",
    },
    "evaluation": {
        "core": "scores, git, errors",
        "modalities": "how an explanation is shown",
        "networks": "predictions, gradients",
        "params": "the section compare",
    },
    "deployment": {
        "core": "entry, files, threads, errors",
        "modalities": "decoding as clean did",
        "networks": "the published model",
    },
    "experiments": {
        "core": "git, signals, errors",
        "evaluation": "reading metrics and params of a commit",
        "params": "the keys to search",
    },
    "reporting": {
        "core": "files, Markdown, how metrics are written",
        "evaluation": "what was compared and calibrated",
        "modalities": "how samples are described",
        "params": "what the run was asked for",
        "store": "the names of the splits",
    },
    "health": {
        "core": "git, environment, threads, errors",
        "networks": "which backend Keras would take, found without an import",
        "params": "whether params.yaml is readable",
    },
    "commands": {
        "core": "entry, files",
        "deployment": "predict, benchmark",
        "evaluation": "compare",
        "experiments": "search",
        "health": "doctor",
        "networks": "predict, models",
        "params": "models",
        "reporting": "compare",
    },
}
MODULES = [path for folder in ("kiln", "stages") for path in sorted((ROOT / folder).rglob("*.py"))]
BACKEND = ROOT / "kiln/networks/backend.py"


def imported_names(path: Path) -> Iterator[str]:
    """Yield what a module imports, wherever in it: modules, and names that may be modules."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def imports(path: Path) -> set[Path]:
    """Find the modules of kiln/ and stages/ that a module imports."""
    found = set()
    for name in imported_names(path):
        place = ROOT / name.replace(".", "/")
        found |= {place.with_suffix(".py"), place / "__init__.py"} & set(MODULES)
    return found - {path, ROOT / "kiln/__init__.py"}


GRAPH = {path: imports(path) for path in MODULES}


def reached(path: Path) -> set[Path]:
    """Find all modules that a module imports, directly or not, itself included."""
    seen, waiting = set(), [path]
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            waiting += GRAPH[path]
    return seen


def room_of(path: Path) -> str | None:
    """The room that a module lies in; None for the stages and what lies in kiln/ itself."""
    parts = path.relative_to(ROOT).parts
    return parts[1] if parts[0] == "kiln" and len(parts) > 2 else None


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_every_room_is_in_the_picture():
    assert {room_of(path) for path in MODULES} - {None} == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_what_the_picture_says(room):
    modules = [path for path in MODULES if room_of(path) == room]
    found = {(room_of(one), shown(path)) for path in modules for one in GRAPH[path]}
    strangers = sorted(f"{module} imports {other}" for other, module in found if other not in {room, *ROOMS[room]})
    assert not strangers
    assert {other for other, _ in found} - {room} == set(ROOMS[room])  # no line that nothing uses


def test_imports_between_rooms_go_one_way():
    order = list(ROOMS)
    for room, others in ROOMS.items():
        assert all(order.index(other) < order.index(room) for other in others), room


def test_no_modules_import_each_other_in_a_circle():
    tuple(graphlib.TopologicalSorter(GRAPH).static_order())


def test_no_stage_imports_a_stage_and_kiln_imports_none():
    for path, others in GRAPH.items():
        assert not {shown(one) for one in others if one.is_relative_to(ROOT / "stages")}, path


def test_the_package_files_hold_no_code():
    # But for what stands by for signals, the list of commands and a name that stands for a module: small, and of
    # no weight for an output.
    code = {}
    for path in MODULES:
        if path.name == "__init__.py":
            found = {type(node) for node in ast.parse(path.read_text()).body} - {ast.Expr}
            code |= {shown(path): found} if found else {}
    assert code == {
        "kiln/commands/__init__.py": {ast.Assign},
        "kiln/params/__init__.py": {ast.ImportFrom},
        "stages/__init__.py": {ast.Import, ast.If},
    }


def test_keras_and_tensorflow_are_imported_in_one_place():
    for path in MODULES:
        found = {name.partition(".")[0] for name in imported_names(path)} & {"keras", "tensorflow", "torch", "jax"}
        assert not found or path == BACKEND, path


def test_keras_is_used_in_the_rooms_of_models_alone():
    users = {room_of(path) for path, others in GRAPH.items() if BACKEND in others}
    assert users - {None} == {"networks", "training", "evaluation"}


@pytest.mark.parametrize("module", [*(f"stages/{stage}" for stage in STAGES), "kiln/cli", "kiln/params/schema"])
def test_only_what_needs_a_model_reaches_keras(module):
    reaches = BACKEND in reached(ROOT / f"{module}.py")
    assert reaches == (module in ("stages/train", "stages/evaluate"))


@pytest.mark.parametrize("command", sorted((ROOT / "kiln/commands").glob("[a-z]*.py")), ids=lambda path: path.stem)
def test_only_commands_with_a_model_reach_keras(command):
    assert (BACKEND in reached(command)) == (command.stem in ("predict", "models", "benchmark"))


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_yaml_lists_the_rooms_that_a_stage_reaches(stage):
    listed = {dep for dep in DVC["stages"][stage]["deps"] if dep.startswith(("kiln", "stages"))}
    modules = reached(ROOT / f"stages/{stage}.py")
    own = {f"stages/{stage}.py"} | ({"stages/report.ipynb"} if stage == "report" else set())
    assert listed == own | {f"kiln/{room_of(path)}" for path in modules if room_of(path)}
