"""How the code is built: where imports point, how long things are, and that each module has its tests."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
PACKAGE = CHECKOUT / "maskcls"
MODULES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}
LONGEST_FUNCTION, LONGEST_MODULE, LONGEST_LINE = 50, 350, 120

# what the modules and subpackages of maskcls may import of each other
ARROWS = {
    "__main__": "cli config",
    "__init__": "inference models config",
    "cli": "commands reporting media data run config interrupts errors",
    "commands": "training audit evaluation export reporting inference models media data run config interrupts files "
    "cores progress errors wording",
    "training": "evaluation models data run config cores interrupts progress errors wording",
    "audit": "reporting data files cores progress wording",
    "evaluation": "reporting inference models data run config files cores progress errors wording",
    "export": "inference models data config cores errors",
    "reporting": "data run files wording",
    "inference": "models media data config cores errors",
    "media": "data files cores interrupts errors wording",
    "models": "data run config files cores control_groups errors wording",
    "data": "config files cores progress errors wording",
    "run": "config files errors wording",
    "config": "errors",
    "files": "interrupts errors",
    "cores": "control_groups",
    "interrupts": "",
    "progress": "",
    "wording": "",
    "control_groups": "",
    "errors": "",
}
# which of them may import these libraries, or this name
ONLY = {"hydra": {"cli"}, "omegaconf": {"cli"}, "maskcls.run.Run": {"cli", "commands"}}


def part_of(path: Path) -> str:
    """The subpackage of maskcls that a file belongs to, or the name of a module of maskcls itself."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(module: ast.Module) -> Iterator[str]:
    """The full names of everything that a module imports."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def name(path: Path) -> str:
    return path.relative_to(CHECKOUT).as_posix()


def test_imports_follow_the_arrows() -> None:
    wrong = defaultdict(set)
    for path, module in MODULES.items():
        part = part_of(path)
        for full in imported(module):
            target = full.split(".")[1] if full.startswith("maskcls.") else part
            if target in ARROWS and target not in {part, *ARROWS[part].split()}:
                wrong[f"{part} -> {target}"].add(name(path))
    assert dict(wrong) == {}


def test_the_arrows_have_no_circle() -> None:
    order = TopologicalSorter({part: targets.split() for part, targets in ARROWS.items()}).static_order()
    assert set(order) == {part_of(path) for path in MODULES}


def test_only_the_command_line_knows_hydra_and_only_commands_know_the_run() -> None:
    wrong = [
        f"{name(path)} imports {full}"
        for path, module in MODULES.items()
        for full in imported(module)
        for library, parts in ONLY.items()
        if f"{full}.".startswith(f"{library}.") and part_of(path) not in parts
    ]
    assert wrong == []


def test_nothing_is_imported_by_a_string() -> None:
    calls = [
        f"{name(path)}:{node.lineno}"
        for path, module in MODULES.items()
        for node in ast.walk(module)
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__", "globals"))
    ]
    assert calls == []


def test_nothing_is_nonlocal() -> None:
    found = [name(path) for path, module in MODULES.items() for n in ast.walk(module) if isinstance(n, ast.Nonlocal)]
    assert found == []


def test_functions_and_modules_are_short() -> None:
    lengths = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {path: length for path, length in lengths.items() if length > LONGEST_MODULE} == {}
    functions = {
        f"{name(path)} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path, module in MODULES.items()
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef)
    }
    assert {function: length for function, length in functions.items() if length > LONGEST_FUNCTION} == {}


def test_every_module_has_tests_of_its_own() -> None:
    expected = {
        CHECKOUT / "tests" / path.relative_to(PACKAGE).with_name(f"test_{path.stem.strip('_')}.py")
        for path in MODULES
        if path.name != "__init__.py"
    }
    assert [name(path) for path in sorted(expected) if not path.is_file()] == []


def test_lines_of_documents_are_short() -> None:
    documents = [*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").rglob("*.md")]
    long = [
        f"{name(path)}:{number}"
        for path in documents
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if len(line) > LONGEST_LINE
    ]
    assert documents
    assert long == []
