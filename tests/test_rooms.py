"""The picture of the house: which room of kiln/ may import which, and that dvc.yaml lists what a stage reaches."""

import ast
import graphlib
import itertools
import json
import re
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
    "modalities": {
        "core": "errors, formats, threads, randomness",
        "params": "the knobs of a part",
    },
    "store": {
        "core": "files, errors",
        "modalities": "how the values of a part are stored",
        "params": "names that no part may have",
    },
    "sources": {
        "core": "downloads, formats, errors",
        "modalities": "which files and bytes are samples",
        "params": "the section fetch",
        "store": "how many classes a dataset may have",
    },
    "quality": {
        "core": "randomness, connected components",
        "modalities": "decoding, measures, copies, features; how a finding is shown",
        "params": "the section clean",
        "store": "the samples that it splits",
    },
    "networks": {
        "core": "randomness, files, errors",
        "modalities": "the parts that stand beside the weights, and their first layers",
        "params": "the section train",
    },
    "training": {
        "core": "files, threads, errors",
        "modalities": "the views of a sample, and how samples are mixed",
        "networks": "what is trained, and Keras",
        "params": "the section train",
        "store": "the batches",
    },
    "evaluation": {
        "core": "scores, git, errors",
        "modalities": "corruptions, slices, how an explanation is shown",
        "networks": "predictions, feature maps",
        "params": "the section compare",
        "store": "the samples that are predicted",
    },
    "deployment": {
        "core": "entry, files, threads, errors",
        "modalities": "decoding as clean does",
        "networks": "the published model",
        "sources": "the rows of tables, as fetch reads them",
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
# Who knows of one modality, for the reason beside it; all else speaks of parts, and asks their modality.
MODALITIES_NAMED = {
    "kiln/params/modalities.py": "names the knobs of each modality",
    "kiln/networks/catalogue.py": "lists networks by the size of images, before there is a dataset",
}
MODULES = {path for folder in ("kiln", "stages") for path in (ROOT / folder).rglob("*.py")}
NOTEBOOK = ROOT / "stages/report.ipynb"
BACKEND = ROOT / "kiln/networks/backend.py"
# Where a library of networks is imported, and whether at once; else only when a function is called.
NETWORK_LIBRARIES = {
    "kiln/networks/backend.py": True,
    "kiln/modalities/image/layers.py": False,
    "kiln/modalities/text/layers.py": False,
}


def parse(path: Path) -> ast.Module:
    """Parse a module, or the cells of a notebook."""
    text = path.read_text()
    if path == NOTEBOOK:
        text = "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code")
    return ast.parse(text)


def imported_names(tree: ast.AST) -> Iterator[str]:
    """Yield the names that code imports, wherever in it, dotted: modules, and what is in modules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, "a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def module_of(name: str) -> Path | None:
    """Find the module of kiln/ or stages/ that a dotted name is, or is in."""
    place = ROOT / name.replace(".", "/")
    candidates = (place.with_suffix(".py"), place / "__init__.py", place.parent.with_suffix(".py"))
    return next((path for path in (*candidates, place.parent / "__init__.py") if path in MODULES), None)


def packages_of(path: Path) -> set[Path]:
    """The package files that Python runs before a module."""
    return {folder / "__init__.py" for folder in path.parents} & MODULES - {path}


def imports(path: Path) -> set[Path]:
    """Find the modules of kiln/ and stages/ that a module runs by its imports.

    Those of the packages that it lies in have begun before; they count only where it takes something from them.
    """
    named = {module_of(name) for name in imported_names(parse(path))} - {None}
    around = {package for one in named for package in packages_of(one)}
    return (named | around - packages_of(path)) - {path}


GRAPH = {path: imports(path) for path in sorted(MODULES | {NOTEBOOK})}
GRAPH[ROOT / "stages/report.py"].add(NOTEBOOK)  # which it runs


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


def modality_of(path: Path) -> str | None:
    """The modality that a module is of: a folder of kiln/modalities/, and a file of that name for its knobs."""
    modalities = {one.parent.name for one in (ROOT / "kiln/modalities").glob("*/__init__.py")}
    _, *place = path.relative_to(ROOT).with_suffix("").parts
    return place[1] if place[:-1] and place[0] in ("modalities", "params") and place[1] in modalities else None


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_every_room_is_in_the_picture():
    assert {room_of(path) for path in MODULES} - {None} == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_what_the_picture_says(room):
    modules = sorted(path for path in MODULES if room_of(path) == room)
    found = {(room_of(one), shown(path)) for path in modules for one in GRAPH[path]}
    strangers = sorted(f"{module} imports {other}" for other, module in found if other not in {room, *ROOMS[room]})
    assert not strangers
    assert {other for other, _ in found} - {room} == set(ROOMS[room])  # no line that nothing uses


def test_imports_between_rooms_go_one_way():
    order = list(ROOMS)
    for room, others in ROOMS.items():
        assert all(order.index(other) < order.index(room) for other in others), room


def test_the_drawing_in_the_docs_shows_the_picture():
    text = re.search(r"flowchart LR\n(.*?)```", (ROOT / "docs/architecture.md").read_text(), re.S)[1]
    arrows = set()  # from a room to one that imports it
    for line in re.sub(r"\[.*?\]", "", text).splitlines():
        groups = [[room.strip() for room in group.split("&")] for group in line.split("-->")]
        arrows |= {arrow for pair in itertools.pairwise(groups) for arrow in itertools.product(*pair)}
    by_stages = {room_of(one) for path, others in GRAPH.items() if path.parent.name == "stages" for one in others}
    importing = ROOMS | {"ends": {*ROOMS["commands"], *by_stages} - {None}}
    assert all(room in importing[other] for room, other in arrows)
    above = {room: {other for start, other in arrows if start == room} for room in ROOMS}
    for room in reversed([room for room in ROOMS if room != "commands"]):
        above[room] |= {far for near in above[room] for far in above.get(near, ())}
    assert all(other in above[room] for other in importing if other != "commands" for room in importing[other])


def test_no_modules_import_each_other_in_a_circle():
    tuple(graphlib.TopologicalSorter(GRAPH).static_order())


def test_a_modality_is_known_in_its_folder_alone():
    named = {
        shown(path)
        for path, others in GRAPH.items()
        if {modality_of(one) for one in others} - {None, modality_of(path)}
    }
    assert named == set(MODALITIES_NAMED)


def test_no_stage_imports_a_stage_and_kiln_imports_none():
    for path, others in GRAPH.items():
        assert not {shown(one) for one in others if one.is_relative_to(ROOT / "stages")} - {shown(NOTEBOOK)}, path


def test_the_package_files_hold_no_code():
    # But for what stands by for signals, the list of commands and the names that other rooms take from params:
    # small, and of no weight for an output.
    code = {}
    for path in MODULES:
        if path.name == "__init__.py":
            found = {type(node) for node in parse(path).body} - {ast.Expr}
            code |= {shown(path): found} if found else {}
    assert code == {
        "kiln/commands/__init__.py": {ast.Assign},
        "kiln/params/__init__.py": {ast.Assign, ast.ImportFrom},
        "stages/__init__.py": {ast.Import, ast.If},
    }


def imports_networks(code: ast.AST) -> bool:
    return any(name.split(".")[0] in ("keras", "tensorflow", "torch", "jax") for name in imported_names(code))


def test_libraries_of_networks_are_imported_in_few_places():
    found = {}
    for path in MODULES:
        if imports_networks(parse(path)):
            outside = [node for node in parse(path).body if not isinstance(node, ast.FunctionDef)]
            found[shown(path)] = any(map(imports_networks, outside))
    assert found == NETWORK_LIBRARIES


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
