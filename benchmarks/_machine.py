"""What every benchmark prints first."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path


def describe(*packages: str, seed: int) -> str:
    """Return the machine, the versions and the seed, in two lines."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = {line.partition(":")[2].strip() for line in lines if line.startswith("model name")}
    flags = {flag for line in lines if line.startswith("flags") for flag in line.split()}
    wide = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    processor = ", ".join(names) or platform.processor()
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    machine = f"{processor} ({', '.join(wide)}), {os.cpu_count()} cores, {platform.system()}"
    return f"{machine}\nPython {platform.python_version()}, {versions}; seed {seed}"
