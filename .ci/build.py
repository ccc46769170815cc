"""Builds the source distribution and the wheel, and checks what is in them.

    python .ci/build.py dist

The wheel must contain the package's files in git and nothing else, so that tests, data
or remains of older builds cannot get into it. The wheel is built from the source distribution.
"""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "hashnet_jax"
# What the source distribution has besides the package.
TOP_LEVEL = {
    *("CHANGELOG.md", "CITATION.cff", "LICENSE", "MANIFEST.in", "PKG-INFO", "README.md"),
    *("pyproject.toml", "setup.cfg"),
}


def tracked_files() -> set[str]:
    """Returns the paths of the package's files in git, from the root of the project."""
    listed = subprocess.run(
        ["git", "ls-files", PACKAGE], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return set(listed.stdout.splitlines())


def check_names(archive: Path, found: set[str], expected: set[str]) -> None:
    """Raises ValueError, with the names that differ, unless ``found`` is ``expected``."""
    if found != expected:
        raise ValueError(
            f"{archive.name} must contain the package's files in git, but it lacks "
            f"{sorted(expected - found)} and has {sorted(found - expected)} in addition: see "
            "package_data in setup.cfg, and MANIFEST.in"
        )


def check_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        infos = archive.infolist()
    names = {info.filename for info in infos if ".dist-info/" not in info.filename}
    check_names(wheel, names, tracked_files())
    size = sum(info.file_size for info in infos)
    print(
        f"{wheel.name}: {len(infos)} files, {wheel.stat().st_size:,} bytes; {size:,} when installed"
    )


def check_source(source: Path) -> None:
    with tarfile.open(source) as archive:
        members = [member for member in archive if member.isfile()]
    paths = {member.name.partition("/")[2] for member in members}
    names = {path for path in paths if ".egg-info/" not in path}
    check_names(source, names, tracked_files() | TOP_LEVEL)
    print(f"{source.name}: {len(members)} files, {source.stat().st_size:,} bytes")


def main() -> None:
    (folder,) = map(Path, sys.argv[1:])
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} must be empty, so that only this build is checked: delete it")
    subprocess.run([sys.executable, "-m", "build", "--outdir", folder, ROOT], check=True)
    (source,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", source, wheel], check=True)
    check_source(source)
    check_wheel(wheel)


if __name__ == "__main__":
    main()
