"""Which changes of a checkout a manifest tells, on a real repository."""

import subprocess

import pytest

from dataflex.evidence.checkout import changes, commit
from dataflex.preflight.code import checkout

LOCK = "schema: 1\nassets:\n  models/a:\n    revision: r\n    files: {a.bin: 1}\n"
FILES = {
    "dataflex/evidence/code.py": "1\n",
    "workflow/profiles/slurm/config.yaml": "slurm_partition: gpu\n",
    "workflow/config/paper.yaml": "grid: reproductions/paper.yaml\n",
    "reproductions/paper.yaml": "seeds: [1]\n",
    "reproductions/paper.lock.yaml": LOCK,
}
EDITED = FILES["workflow/profiles/slurm/config.yaml"].replace("gpu", "mine")
GROWN = LOCK + "  models/b:\n    revision: s\n    files: {b.bin: 2}\n"


def git(root, *words):
    told = subprocess.run(["git", "-C", root, *words], check=True, capture_output=True, text=True)
    return told.stdout.strip()


@pytest.fixture
def root(tmp_path):
    """A checkout with a committed lock, whose `slurm` leads to the profile as the suite's does."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "slurm").symlink_to("workflow/profiles/slurm")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "All")
    return tmp_path


def looked_at(root):
    """From where the package lies, deep inside."""
    return commit(root / "dataflex/evidence"), changes(root / "dataflex/evidence")


def test_a_checkout_as_committed_is_called_by_its_commit(root):
    (root / "notes.txt").write_text("nobody's")
    assert looked_at(root) == (git(root, "rev-parse", "HEAD"), [])
    assert checkout(root).state == "passed"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("workflow/profiles/slurm/config.yaml", EDITED),
        ("slurm/config.yaml", EDITED),
        ("reproductions/paper.lock.yaml", GROWN),
        ("reproductions/laptop.lock.yaml", LOCK),
    ],
)
@pytest.mark.parametrize("staged", [False, True])
def test_where_jobs_run_and_what_was_taken_since_is_no_change(root, name, text, staged):
    (root / name).write_text(text)
    if staged:
        git(root, "add", "reproductions", "workflow")
    assert looked_at(root) == (git(root, "rev-parse", "HEAD"), [])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("dataflex/evidence/code.py", "2\n"),
        ("workflow/config/paper.yaml", "grid: mine.yaml\n"),
        ("reproductions/paper.yaml", "seeds: [1]\nmore: 1\n"),
        ("reproductions/paper.lock.yaml", LOCK.replace("a.bin: 1", "a.bin: 2")),
        ("reproductions/paper.lock.yaml", None),
        ("dataflex/evidence/code.py", None),
    ],
)
@pytest.mark.parametrize("staged", [False, True])
def test_what_may_decide_about_results_is_one(root, name, text, staged):
    (root / name).unlink()
    if text is not None:
        (root / name).write_text(text)
    if staged:
        git(root, "add", "-A")
    # Beside one that does not count.
    (root / "slurm/config.yaml").write_text(EDITED)
    assert looked_at(root) == (git(root, "rev-parse", "HEAD") + "-dirty", [name])
    told = checkout(root)
    assert told.state == "warned"
    assert name in told.told
    assert "profiles" not in told.told


def test_without_a_checkout_there_is_no_commit(tmp_path):
    assert (commit(tmp_path), changes(tmp_path)) == (None, [])
    assert checkout(tmp_path).state == "skipped"
