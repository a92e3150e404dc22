"""The package as users get it: installed as a link by `make setup`, and as a wheel elsewhere.

Environments are made here that see the packages of the one in which the tests run, but not its
MOLE: nothing is downloaded.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests import tiny, untrained

ROOT = Path(__file__).parents[1]
BUILT_FROM = ("pyproject.toml", "requirements.txt", "README.md", "LICENSE", "Makefile")
COMMANDS = ("mole", "mole-zoo", "mole-predict")


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command that sees nothing of this checkout or of the `make test` that may run it."""
    unseen = ("PYTHONPATH", "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "XLA_FLAGS")
    environment = {name: value for name, value in os.environ.items() if name not in unseen}
    quick = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment | quick,
        capture_output=True,
        text=True,
        timeout=300,
    )


def done(*command: str | Path, cwd: Path) -> str:
    """Run a command that has to succeed; returns what it prints."""
    found = run(*command, cwd=cwd)
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


def make_environment(folder: Path) -> Path:
    """Make an empty virtual environment; returns its Python."""
    done(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    return folder / "bin" / "python"


def show_packages(python: Path) -> None:
    """Let an environment import the packages of ours.

    Our own MOLE is not among them: a folder that a .pth file names is searched for packages, and
    the .pth files in it, one of which is our link, are not read.
    """
    own = done(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=ROOT)
    ours = sorted({sysconfig.get_path(kind) for kind in ("purelib", "platlib")})
    (Path(own.strip()) / "ours.pth").write_text("\n".join([*ours, ""]))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the package is built from: building leaves folders beside it."""
    folder = tmp_path_factory.mktemp("source")
    for name in BUILT_FROM:
        shutil.copy(ROOT / name, folder)
    no_caches = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "mole_jax", folder / "mole_jax", ignore=no_caches)
    return folder


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    flags = ("--no-deps", "--no-index", "--no-build-isolation", "--quiet", "--wheel-dir", folder)
    done(sys.executable, "-m", "pip", "wheel", ".", *flags, cwd=source)
    (built,) = folder.iterdir()
    return built


def test_a_wheel_has_every_file_of_the_package_and_nothing_else(wheel: Path, source: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    packed = {name for name in names if ".dist-info/" not in name}
    files = {str(p.relative_to(source)) for p in (source / "mole_jax").rglob("*") if p.is_file()}
    assert packed == {name for name in files if "__pycache__" not in name}
    assert any(name.endswith("/LICENSE") for name in names)


def test_a_wheel_requires_what_setup_installs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        (name,) = (name for name in file.namelist() if name.endswith("/METADATA"))
        metadata = file.read(name).decode()
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    wanted = {line.partition("#")[0].strip() for line in lines} - {""}

    def parts(requirement: str) -> tuple[str, ...]:
        return tuple(sorted(re.split(r",|(?=[<>=!~])", requirement.replace(" ", ""), maxsplit=0)))

    required = re.findall(r"^Requires-Dist: (.*)$", metadata, re.MULTILINE)
    assert {parts(r) for r in required} == {parts(r) for r in wanted}


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of a fresh environment with the wheel."""
    python = make_environment(tmp_path_factory.mktemp("fresh") / "env")
    flags = ("--no-deps", "--no-index", "--no-compile", "--quiet")
    done(sys.executable, "-m", "pip", f"--python={python}", "install", *flags, wheel, cwd=ROOT)
    # Only now: pip would take the MOLE of these tests for one that is installed already.
    show_packages(python)
    return python.parent


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    with tiny.quick_compilation():
        untrained.write(folder, tiny.tiny_config(), (8, 8, 1), 3)
    return folder


def test_a_wheel_alone_loads_a_workdir_and_predicts(
    installed: Path, workdir: Path, tmp_path: Path
) -> None:
    code = "import mole_jax; print(mole_jax.__file__)"
    where = Path(done(installed / "python", "-c", code, cwd=tmp_path).strip())
    assert where.is_relative_to(installed.parent)
    labels = np.arange(9) % 3
    images = np.random.default_rng(0).integers(0, 17, (9, 8, 8))
    np.savez(tmp_path / "mine.npz", image=images, label=labels)
    arguments = ("--support=npz:mine.npz", "--target_loss=0.1", "--steps=1", "--out=net.npz")
    page = done(installed / "mole-predict", workdir, *arguments, cwd=tmp_path)
    assert "support   9 images of 3 classes" in page
    assert np.isfinite(np.load(tmp_path / "net.npz")["output/kernel"]).all()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_page_of_help_and_exit_codes(
    name: str, installed: Path, tmp_path: Path
) -> None:
    assert len(done(installed / name, "--help", cwd=tmp_path).splitlines()) > 5
    refused = run(installed / name, "--nonsense", cwd=tmp_path)
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("mole", "mole_jax.main"),
        ("mole_zoo", "mole_jax.zoo.__main__"),
        ("mole_predict", "mole_jax.predict"),
    ],
)
def test_commands_end_as_their_modules_do(name: str, module: str, tmp_path: Path) -> None:
    """After a signal at once: what is registered for the end of the process does not run."""
    code = (
        "import atexit, sys, {module} as module, mole_jax.scripts as scripts;"
        "atexit.register(print, 'torn down'); module.main = lambda: {code};"
        "sys.exit(scripts.{name}())"
    )
    for exit_code, printed in ((0, "torn down\n"), (2, "torn down\n"), (130, ""), (143, "")):
        text = code.format(module=module, name=name, code=exit_code)
        ended = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
        assert (ended.returncode, ended.stdout) == (exit_code, printed), ended.stderr


@pytest.fixture(scope="module")
def checkout(source: Path) -> Iterator[Path]:
    """A checkout in which `make setup` has run."""
    if shutil.which("make") is None:
        pytest.skip("there is no make")
    show_packages(make_environment(source / ".venv"))
    done("make", "setup", f"PYTHON={sys.executable}", "PIP_NO_INDEX=1", cwd=source)
    yield source
    shutil.rmtree(source / ".venv")


def test_setup_installs_the_package_for_every_folder(checkout: Path, tmp_path: Path) -> None:
    """Without network, where all that is required is there; what is edited counts at once."""
    scripts = checkout / "scripts"
    scripts.mkdir()
    (scripts / "mine.py").write_text("import mole_jax\nprint(mole_jax.__file__)\n")
    python = checkout / ".venv" / "bin" / "python"
    for script, cwd in (("scripts/mine.py", checkout), (scripts / "mine.py", tmp_path)):
        assert Path(done(python, script, cwd=cwd).strip()) == checkout / "mole_jax" / "__init__.py"
    for name in COMMANDS:
        assert "usage" in done(python.parent / name, "--help", cwd=tmp_path)


def test_setup_installs_again_when_what_it_depends_on_changes(checkout: Path) -> None:
    assert "pip install" not in done("make", "setup", "--dry-run", cwd=checkout)
    for name in ("pyproject.toml", "requirements.txt"):
        later = (checkout / ".venv" / ".installed").stat().st_mtime + 10
        os.utime(checkout / name, (later, later))
        assert "--editable ." in done("make", "setup", "--dry-run", cwd=checkout)
        os.utime(checkout / name, (1, 1))
