"""What `pip install .` installs."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_wheel_has_all_modules_and_configs_the_artist_and_the_program(
    tmp_path: Path,
):
    source = tmp_path / "source"
    for name in ("jaxart", "configs"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "."]
    subprocess.run([*command, f"--wheel-dir={tmp_path}"], cwd=source, check=True)
    (wheel,) = tmp_path.glob("jaxart-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info" not in name}
        (scripts,) = (n for n in archive.namelist() if n.endswith("entry_points.txt"))
        assert b"jaxart = jaxart.__main__:main" in archive.read(scripts)
    modules = {str(path.relative_to(ROOT)) for path in ROOT.glob("jaxart/**/*.py")}
    configs = {f"jaxart/configs/{path.name}" for path in ROOT.glob("configs/*.py")}
    artist = {f"jaxart/painter/artist.{suffix}" for suffix in ("json", "safetensors")}
    assert names == modules | configs | artist
