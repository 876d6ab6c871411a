"""Rewrite `[tool.uv] constraint-dependencies` in pyproject.toml from a fresh resolution.

    uv lock --upgrade && uv run --no-sync python tools/pin_versions.py

The lock file itself stays out of the repository, because it records where packages were downloaded from. Where the resolution has several
versions of a package for several Pythons, the oldest is pinned: it runs on all of them.
"""

import re
import tomllib
from pathlib import Path

from packaging.version import Version

BLOCK = re.compile(r"\n# tools/pin_versions.py\nconstraint-dependencies = \[\n.*?\n\]\n", re.DOTALL)


def main() -> None:
    root = Path(__file__).resolve().parents[1]
    versions: dict[str, Version] = {}
    for package in tomllib.loads((root / "uv.lock").read_text())["package"]:
        if "registry" in package["source"]:
            version = Version(package["version"])
            versions[package["name"]] = min(version, versions.get(package["name"], version))
    lines = [f'    "{name}=={version}",' for name, version in sorted(versions.items())]
    block = "\n".join(["\n# tools/pin_versions.py", "constraint-dependencies = [", *lines, "]\n"])
    path = root / "pyproject.toml"
    text = BLOCK.sub("\n", path.read_text())
    path.write_text(text.replace('default-groups = ["dev"]\n', 'default-groups = ["dev"]' + block, 1))
    print(f"{len(versions)} versions pinned")


if __name__ == "__main__":
    main()
