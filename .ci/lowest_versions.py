"""Prints constraints for pip: the lowest version of each library that setup.cfg admits.

    python .ci/lowest_versions.py test > lowest.txt && pip install -c lowest.txt '.[test]'

The arguments are extras. Only the libraries that setup.cfg names are constrained; what these need
in turn is the newest. If pip cannot satisfy the constraints, a floor is wrong and must be raised.
"""

import configparser
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

SETUP = Path(__file__).parents[1] / "setup.cfg"
# A floor is the bound of one of these operators.
FLOORS = (">=", "==", "~=")


def read_requirements(
    config: configparser.ConfigParser, extras: Iterable[str]
) -> Iterator[Requirement]:
    """Yields the requirements of the package, and those of its extras and of the extras in them."""
    texts = [config["options"]["install_requires"]]
    texts += [config["options.extras_require"][extra] for extra in extras]
    for line in "\n".join(texts).splitlines():
        if not line or line.startswith("#"):
            continue
        requirement = Requirement(line)
        if requirement.name == config["metadata"]["name"]:
            yield from read_requirements(config, sorted(requirement.extras))
        elif requirement.marker is None or requirement.marker.evaluate():
            yield requirement


def lowest_versions(requirements: Iterable[Requirement]) -> dict[str, Version]:
    """Returns the highest floor of each library, as all requirements must hold at once.

    Raises:
        ValueError: If a requirement has no floor.
    """
    lowest: dict[str, Version] = {}
    for requirement in requirements:
        floors = [Version(s.version) for s in requirement.specifier if s.operator in FLOORS]
        if not floors:
            raise ValueError(
                f"every requirement in setup.cfg needs a floor, but {requirement.name!r} has none: "
                f"add the lowest version that was tested, such as '{requirement.name} >=1.2'"
            )
        lowest[requirement.name] = max([*floors, lowest.get(requirement.name, floors[0])])
    return lowest


def main() -> None:
    config = configparser.ConfigParser()
    config.read_string(SETUP.read_text(encoding="utf-8"))
    for name, version in sorted(lowest_versions(read_requirements(config, sys.argv[1:])).items()):
        print(f"{name}=={version}")


if __name__ == "__main__":
    main()
