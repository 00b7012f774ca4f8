"""What PyTorch compiles for one run is there for the next, whatever a lock file that it leaves says."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import extensions
import pytest

SOURCE = """
#include <Python.h>
static PyModuleDef module = {PyModuleDef_HEAD_INIT, "small", nullptr, -1, nullptr};
PyMODINIT_FUNC PyInit_small() { return PyModule_Create(&module); }
"""
# As the workflow sets it: ninja lies beside the interpreter.
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
BUILD = "from torch.utils.cpp_extension import load; load('small', ['small.cpp'])"


def of_a_run(folder):
    """Its files -> when they were written; the lock apart, which is taken anew for a look."""
    return {
        file.relative_to(folder): file.stat().st_mtime_ns
        for file in folder.rglob("*")
        if file.suffix in (".so", ".o")
    }


@pytest.mark.skipif(
    not all(shutil.which(name, path=PATH) for name in ("c++", "ninja")), reason="no c++, or no ninja"
)
def test_a_second_run_compiles_nothing(tmp_path):
    (tmp_path / "small.cpp").write_text(SOURCE)
    shared, built = tmp_path / "shared", []
    for run in ("one", "two"):
        own = tmp_path / run
        variables = extensions.prepare(own, shared)
        environment = {**os.environ, "PATH": PATH, **variables}
        subprocess.run([sys.executable, "-c", BUILD], cwd=tmp_path, env=environment, check=True)
        built.append(of_a_run(own))
        extensions.publish(own, shared)
        assert not own.exists()
    assert built[0]
    assert built[0] == built[1]


def test_a_lock_of_an_earlier_run_is_not_handed_on(tmp_path):
    """PyTorch before 2.14 waits for whoever wrote it, for ever."""
    own, shared = tmp_path / "one", tmp_path / "shared"
    extensions.prepare(own, shared)
    (own / "small").mkdir(parents=True)
    (own / "small/lock").touch()
    (own / "small/small.so").touch()
    extensions.publish(own, shared)
    extensions.prepare(tmp_path / "two", shared)
    assert [file.name for file in (tmp_path / "two/small").iterdir()] == ["small.so"]


def test_a_run_that_needs_another_extension_adds_it(tmp_path):
    shared = tmp_path / "shared"
    for run, names in (("one", {"small"}), ("two", {"small", "large"}), ("three", {"small", "large"})):
        own = tmp_path / run
        extensions.prepare(own, shared)
        for name in names - {folder.name for folder in own.glob("*")}:
            (own / name).mkdir(parents=True)
            (own / name / f"{name}.so").write_text(run)
        if run != "three":
            extensions.publish(own, shared)
    assert {file.name: file.read_text() for file in own.rglob("*.so")} == {
        "small.so": "one",
        "large.so": "two",
    }


def test_what_a_killed_run_left_is_cleared(tmp_path):
    own, shared = tmp_path / "one", tmp_path / "shared"
    (own / "small").mkdir(parents=True)
    (own / "small/small.o").write_text("half")
    extensions.prepare(own, shared)
    assert not own.exists()


def test_a_run_that_compiled_nothing_leaves_nothing(tmp_path):
    extensions.prepare(tmp_path / "one", tmp_path / "shared")
    extensions.publish(tmp_path / "one", tmp_path / "shared")
    assert list(tmp_path.iterdir()) == []
