"""What a platform is, and runs that differ as platforms do."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "llamafactory",
    "transformers",
    "torch",
    "accelerate",
    "datasets",
    "tokenizers",
    "numpy",
    "scipy",
    "scikit-learn",
    "sentence-transformers",
    "faiss-cpu",
)
"""Whose code takes part in the numbers of a golden run."""
_CPU_KEYS = ("vendor_id", "cpu family", "model", "stepping", "model name")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
# Threads that wait must not keep other processes from their core.
TWO_THREADS = dict.fromkeys(ONE_THREAD, "2") | {"OMP_WAIT_POLICY": "passive"}
RECORDED = "as recorded"
_AVX512 = "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR"

VARIANTS: dict[str, dict[str, str]] = {
    RECORDED: ONE_THREAD,
    "two threads": TWO_THREADS,
    "MKL: compatible": ONE_THREAD | {"MKL_CBWR": "COMPATIBLE"},
    "all AVX2, two threads": TWO_THREADS
    | {
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_CBWR": "AVX2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
        "NPY_DISABLE_CPU_FEATURES": _AVX512,
    },
    "all the oldest": ONE_THREAD
    | {
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_CBWR": "COMPATIBLE",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "OPENBLAS_CORETYPE": "Nehalem",
        "NPY_DISABLE_CPU_FEATURES": f"{_AVX512} AVX2 FMA3",
    },
}
"""Environments of the repeated runs: what a library lets one choose of how it computes."""


def fingerprint() -> dict[str, Any]:
    """Return what decides about the last bits of a golden run here."""
    return {
        "machine": platform.machine(),
        "system": platform.system(),
        "libc": " ".join(platform.libc_ver()),
        "processor": _processor(),
        "capability": _capability(),
        "threads": 1,
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
    }


def differences(recorded: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """Return in what another platform differs, as ``key: here, not recorded``."""
    keys = sorted(recorded.keys() | here.keys())
    return [
        f"{key}: {here.get(key)}, not {recorded.get(key)}"
        for key in keys
        if recorded.get(key) != here.get(key)
    ]


def _processor() -> str:
    """Name and numbers of the processor: libraries choose their code by them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        return platform.processor()
    about = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return ", ".join(about[key] for key in _CPU_KEYS if key in about) or platform.processor()


def _capability() -> str:
    """Instructions of the processor that the libraries may choose by."""
    try:
        flags = (
            next(
                line
                for line in Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith(("flags", "Features"))
            )
            .split(":")[1]
            .split()
        )
    except (OSError, StopIteration):
        return "unknown"
    return " ".join(
        sorted(flag for flag in flags if flag.startswith(("avx", "fma", "sse4", "asimd", "sve", "amx")))
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
