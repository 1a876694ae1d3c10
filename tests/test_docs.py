"""The documentation is true: its links, paths, tests, commands and keys exist, and both READMEs agree."""

import difflib
import fnmatch
import importlib
import json
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from kiln.commands import NAMES
from kiln.params import schema

ROOT = Path(__file__).resolve().parents[1]
README, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = sorted([*ROOT.glob("*.md"), *DOCS, *ROOT.glob("data/*/README.md")])
# The changelog names what was there before, too.
PRESENT = [page for page in PAGES if page.name != "CHANGELOG.md"]
MOST_LINES = 160

FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.M | re.S)
PATH = re.compile(r"(?:kiln|stages|tests|docs|recipes|data|metrics|\.ci|\.github)/[\w./*-]*(?:::\w+)?")
FILE = re.compile(r"(?:requirements[\w.-]*|[A-Z]+\.md|dvc\.(?:yaml|lock)|params\.yaml|Makefile)")
KEY = re.compile(rf"(?<![\w/.])(?:{'|'.join(schema.SECTIONS)})\.[a-z_*]+(?:\.[a-z_*0-9]+)*(?!\w|/)")
SUFFIXES = ("csv", "html", "ipynb", "py", "yaml", "json")
UNKNOWN = {"train.lrr"}  # the example of a wrong key
MADE = {"data/.checkpoints", "data/.downloads", "data/.*.lock", "tests/bench/scratch"}  # by a run, and in no commit

pages = pytest.mark.parametrize("page", PRESENT, ids=lambda page: page.relative_to(ROOT).as_posix())


def prose(page: Path) -> str:
    """A page's text without its blocks of code."""
    return FENCE.sub("", page.read_text())


def blocks(page: Path, language: str | None = None) -> list[str]:
    """A page's blocks of code, of one language or of all."""
    return [code for _, kind, code in FENCE.findall(page.read_text()) if language in (None, kind)]


def spans(page: Path) -> list[str]:
    """What stands in backticks, line breaks as blanks."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(page))]


def without_remark(line: str) -> str:
    return re.split(r"(?:^|\s+)# ", line)[0].rstrip()


def commands(page: Path) -> list[str]:
    """Every command line: of blocks for a shell, part by part, and of spans that are one."""
    lines = [without_remark(line) for code in blocks(page, "sh") for line in code.splitlines()]
    parts = [part.strip() for line in [*lines, *spans(page)] for part in re.split(r"\||&&|;", line)]
    return [part.removeprefix(".venv/bin/") for part in parts if part]


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", prose(page))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def outputs() -> set[str]:
    """What the stages write."""
    stages = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"].values()
    return {next(iter(out)) if isinstance(out, dict) else out for stage in stages for out in stage["outs"]}


MADE |= outputs()


def is_there(path: str) -> bool:
    """Whether a path is in the project, or made by a run."""
    path = path.rstrip("/.")
    if any(path == made or path.startswith(f"{made}/") for made in MADE):
        return True
    return any(ROOT.glob(path)) if "*" in path else (ROOT / path).exists()


def flat(tree: dict, known: set[str], prefix: str = "") -> list[str]:
    """The keys of a params file, down to those that the schema knows as values."""
    keys = []
    for name, value in tree.items():
        key = f"{prefix}{name}"
        keys += flat(value, known, f"{key}.") if isinstance(value, dict) and key not in known else [key]
    return keys


def metric_keys(tree: dict, prefix: str = "") -> set[str]:
    keys = set()
    for name, value in tree.items():
        keys |= {f"{prefix}{name}"} | (metric_keys(value, f"{prefix}{name}.") if isinstance(value, dict) else set())
    return keys


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    dead = []
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.is_file() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert not dead


@pages
def test_paths_are_there(page):
    texts = [*spans(page), *blocks(page, "sh")]
    found = {match for text in texts for match in re.findall(rf"(?<![\w/.-]){PATH.pattern}", text)}
    named = {path.partition("::")[0] for path in found} | {span for span in spans(page) if FILE.fullmatch(span)}
    assert not sorted(path for path in named if not is_there(path))


@pages
def test_tests_that_are_named_exist(page):
    named = [span.split("::") for span in spans(page) if re.fullmatch(r"tests/[\w/]+\.py::\w+", span)]
    assert not [name for file, name in named if f"def {name}(" not in (ROOT / file).read_text()]


@pages
def test_make_targets_are_there(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = {found[1] for line in commands(page) if (found := re.match(r"make ([a-z][a-z-]*)", line))}
    assert not named - targets


@pages
def test_commands_and_their_options_are_there(page):
    wrong = []
    for line in commands(page):
        if not (found := re.match(r"(?:python -m )?kiln ([a-z]+)(.*)", line)):
            continue
        name, rest = found.groups()
        if name not in NAMES or not (ROOT / f"kiln/commands/{name}.py").is_file():
            wrong.append(line)
            continue
        command = importlib.import_module(f"kiln.commands.{name}").command
        options = {"--help"} | {option for param in command.params for option in param.opts}
        wrong += [line] if set(re.findall(r"(?<!\S)--[a-z-]+", rest)) - options else []
    assert not wrong


@pages
def test_modules_that_are_run_are_there(page):
    named = {found[1] for line in commands(page) if (found := re.search(r"python -m ((?:stages|kiln)[\w.]*)", line))}
    files = {name: ROOT / f"{name.replace('.', '/')}" for name in named}
    assert not [name for name, path in files.items() if not (path.with_suffix(".py").is_file() or path.is_dir())]


@pages
def test_keys_are_there(page):
    known = {*schema.known_keys(), *schema.known_keys({"text": "text"})}
    known |= {*metric_keys(json.loads((ROOT / "metrics/metrics.json").read_text()))}
    named = {key for text in [*spans(page), *blocks(page, "sh")] for key in KEY.findall(text)} - UNKNOWN
    named = {key for key in named if key.rpartition(".")[2] not in SUFFIXES}
    for code in blocks(page, "yaml"):
        named |= set(flat(YAML(typ="safe", pure=True).load(code), {*schema.knobs()}))
    wrong = sorted(key for key in named if not fnmatch.filter(known, key))
    assert not {key: difflib.get_close_matches(key, known, 1) for key in wrong}


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_a_page_opens_with_what_it_helps_to_do(page):
    title, empty, first, *_ = page.read_text().splitlines()
    assert title.startswith("# ") and not empty and first.startswith("This page helps you ")
    assert f"docs/{page.name}" in links(README)


def test_readme_is_short():
    for page in (README, CHINESE):
        assert len(page.read_text().splitlines()) <= MOST_LINES


def test_both_readmes_have_the_same_code():
    def code(page: Path) -> list[list[str]]:
        return [[without_remark(line) for line in block.splitlines()] for block in blocks(page)[:-1]]

    assert code(README) == code(CHINESE)
    trees = [re.findall(r"^ *(\S+)", blocks(page)[-1], re.M) for page in (README, CHINESE)]
    assert trees[0] == trees[1]


def test_both_readmes_have_the_same_links_and_headings():
    assert links(README) == [link.replace(README.name, CHINESE.name) for link in links(CHINESE)]
    levels = [re.findall(r"^#+", prose(page), re.M) for page in (README, CHINESE)]
    assert levels[0] == levels[1]


def rows(page: Path) -> list[str]:
    return re.findall(r"^\|.*\|$", prose(page), re.M)


def test_both_readmes_have_the_same_results():
    def values(page: Path) -> list[list[str]]:
        return [re.findall(r"`[^`]+`|\d[\d,.]*", row) for row in rows(page)]

    assert values(README) == values(CHINESE)


def test_readmes_results_are_those_of_benchmarks_and_metrics():
    measured = (ROOT / "docs/benchmarks.md").read_text()
    for row in rows(README)[2:]:
        name, accuracy, interval = (cell.partition(" (")[0].strip(" `") for cell in row.strip("|").split("|")[:3])
        lines = [line for line in measured.splitlines() if accuracy in line and interval in line]
        assert any(name in line or (name == "default" and "default params" in line) for line in lines), row
    test = json.loads((ROOT / "metrics/metrics.json").read_text())["test"]
    said = "test accuracy {:.2%}, 95 % interval {low:.2%} to {high:.2%}"
    assert said.format(test["accuracy"], **test["accuracy_ci95"]) in blocks(README)[1]


def test_the_tree_and_the_architecture_name_every_room():
    rooms = {path.parent.name for path in (ROOT / "kiln").glob("*/__init__.py")}
    tree = blocks(README)[-1]
    assert set(re.findall(r"^  (\w+)/", tree, re.M)) == rooms
    assert not [path for path in re.findall(r"^(\S+)", tree, re.M) if not is_there(path)]
    page = ROOT / "docs/architecture.md"
    assert rooms <= {span.removeprefix("kiln/") for span in spans(page)}
    assert rooms <= set(re.findall(r"\w+", blocks(page, "mermaid")[0])) | {"sources"}


def test_every_command_has_its_section():
    assert {f"kiln-{name}" for name in NAMES} <= anchors(ROOT / "docs/commands.md")
