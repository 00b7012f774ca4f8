"""What the other implementations of LESS project with, with stand-ins for their code."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from efficiency import measure


class _Projector:
    def __init__(self, proj_dim: int) -> None:
        self.proj_dim = proj_dim

    def project(self, gradients: torch.Tensor) -> torch.Tensor:
        return gradients[:, : self.proj_dim]


@pytest.fixture
def trak(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Its two projectors, in a package of its name."""
    module: Any = ModuleType("trak.projectors")
    for name in ("BasicProjector", "CudaProjector"):
        body = {key: value for key, value in vars(_Projector).items() if callable(value)}
        setattr(module, name, type(name, (), body))
    for name in ("trak", "trak.projectors"):
        monkeypatch.setitem(sys.modules, name, module)
    return module


def _work() -> Any:
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    for parameter in model.parameters():
        optimizer.state[parameter] = {}
    rows = [{"input_ids": [1, 2], "labels": [1, 2]}]
    return SimpleNamespace(model=model, optimizer=optimizer, validation=rows, device=torch.device("cpu"))


@pytest.mark.parametrize("kind", ["BasicProjector", "CudaProjector"])
def test_a_pass_of_the_authors_tells(
    trak: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    from efficiency.workers import authors_gradients

    def collect(loader: Any, model: Any, where: str, dimensions: list[int], **others: Any) -> None:
        folder = Path(where, f"dim{dimensions[0]}")
        folder.mkdir(parents=True)
        found = getattr(trak, kind)(dimensions[0]).project(torch.ones(1, 4))
        torch.save(found, folder / "all_orig.pt")

    theirs: Any = ModuleType("collect_grad_reps")
    theirs.collect_grads = collect
    for name in ("less", "less.data_selection", "less.data_selection.collect_grad_reps"):
        monkeypatch.setitem(sys.modules, name, theirs)
    monkeypatch.chdir(tmp_path)
    work = _work()
    assert authors_gradients.less(work, work.validation, 2) == {"scores": [2.0], "projector": kind}


@pytest.mark.parametrize("spare", [False, True])
@pytest.mark.parametrize("kind", ["BasicProjector", "CudaProjector"])
def test_a_pass_of_upstream_tells_and_is_clocked(
    trak: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, spare: bool
) -> None:
    from efficiency.workers import upstream_gradients

    projected = []

    class Selector:
        def __init__(self, cache_dir: str, proj_dim: int, **others: Any) -> None:
            self.cache, self.dimensions = Path(cache_dir), proj_dim

        def select(self, model: Any, step: int, n: int, **others: Any) -> list[int]:
            projected.append(getattr(trak, kind)(self.dimensions).project(torch.ones(1, 4)))
            (self.cache / "step_1.json").write_text(json.dumps({"metric": {"train_eval_similarity": [0.5]}}))
            return [0]

    theirs: Any = ModuleType("less_selector")
    theirs.LessSelector = Selector
    for name in ("dataflex.train", "dataflex.train.selector", "dataflex.train.selector.less_selector"):
        monkeypatch.setitem(sys.modules, name, theirs)
    monkeypatch.chdir(tmp_path)
    work = _work()
    job = measure.Job({}, 1, options={"projection": 2})
    clock = upstream_gradients.Clock()
    accelerator: Any = None
    found = upstream_gradients.less(work, work.validation, accelerator, job, clock, None, spare=spare)
    assert found["projector"] == kind
    assert len(found["projection_seconds"]) == (0 if spare else 1)
    assert projected[0].tolist() == [[0.0, 0.0] if spare else [1.0, 1.0]]


@pytest.mark.parametrize("built", [True, False])
def test_the_extension_is_recorded(monkeypatch: pytest.MonkeyPatch, built: bool) -> None:
    version: Callable[[str], str] = measure.metadata.version

    def found(package: str) -> str:
        if package == "fast-jl":
            if built:
                return "0.1.3"
            raise measure.metadata.PackageNotFoundError(package)
        return version(package)

    monkeypatch.setattr(measure.metadata, "version", found)
    assert measure.environment(1)["packages"].get("fast-jl") == ("0.1.3" if built else None)
