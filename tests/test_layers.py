import ast
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from jaxart import __main__ as program
from jaxart import images


PACKAGE = Path(__file__).parents[1] / "jaxart"
COMMANDS = {
    "train",
    "sample",
    "explore",
    "evaluate",
    "prepare",
    "paint",
    "train_artist",
}
PACKAGES = {"gan", "painter", "paintings"}


def imports(path: Path) -> set[str]:
    """Names of the package's own modules in a file's imports, as "gan.update"."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{n.name}" for n in node.names}
        elif isinstance(node, ast.Import):
            names |= {name.name for name in node.names}
    return {n.removeprefix("jaxart.") for n in names if n.startswith("jaxart.")}


def allowed(importer: str, package: str) -> bool:
    if package in COMMANDS:
        return False
    if package == "drawing":
        return importer in COMMANDS | PACKAGES | {"drawing"}
    if package not in PACKAGES or importer in COMMANDS:
        return True
    return importer == package


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=str)
def test_imports_point_down_only(path: Path):
    importer = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for name in imports(path):
        assert allowed(importer, name.split(".")[0]), f"{path} imports {name}"


def test_shapes_in_signatures_are_checked():
    with pytest.raises(TypeCheckError):
        images.grid(np.zeros((4, 4, 3), np.uint8))


def test_the_program_has_every_command():
    assert set(program.COMMANDS) == COMMANDS


def test_the_map_names_every_module():
    plan = (PACKAGE / "__init__.py").read_text()
    for path in PACKAGE.rglob("*.py"):
        if path.name != "__init__.py":
            assert path.name in plan, path


@pytest.mark.parametrize(
    ("library", "module"),
    [
        ("orbax", "checkpoints.py"),
        ("absl", "command.py"),
        ("apache_beam", "beam.py"),
        ("matplotlib", "training_figures.py"),
    ],
)
def test_one_module_knows_a_library(library: str, module: str):
    for path in PACKAGE.rglob("*.py"):
        if path.name != module:
            assert f"import {library}" not in path.read_text()
            assert f"from {library}" not in path.read_text()
