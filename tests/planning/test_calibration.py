"""The fit of a device to runs: constants that are known come back, and errors are those of cells not seen."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from dataflex.errors import UserError
from dataflex.planning.calibration import (
    CALIBRATION,
    Device,
    Measurement,
    calibrated,
    fit,
    held_out_errors,
    read_devices,
    spread_of_cells,
    write_device,
)
from dataflex.planning.commands import Options, calibrate, plan_of_file
from dataflex.planning.devices import device_for, known_of
from dataflex.planning.measured import read_measurements
from dataflex.planning.work import Pass, Work

ROOT = Path(__file__).resolve().parent.parent.parent
RUN, STEP, OPERATION = 3.0, 0.02, 1e-10


def measurement(
    cell: str, steps: int, flops: float, *, factor: float = 1.0, processes: int = 1
) -> Measurement:
    work = Work(steps, 1, steps, (Pass("training", flops),))
    seconds = RUN + STEP * steps + OPERATION * flops / processes
    return Measurement(cell, factor * seconds, work, processes, 1000)


CELLS = [
    measurement("x/a", 100, 1e10),
    measurement("x/b", 400, 2e10),
    measurement("y/c", 100, 9e11, processes=2),
    measurement("y/d", 900, 4e11),
    measurement("z/e", 50, 3e10),
]


def test_constants_that_made_the_times_come_back() -> None:
    assert fit(CELLS) == pytest.approx([RUN, STEP, OPERATION], rel=1e-6)
    device = calibrated("here", "cpu", CELLS, None)
    assert (device.run_seconds, device.step_seconds) == (RUN, STEP)
    assert device.rate == pytest.approx(1 / OPERATION)
    assert all(errors["worst"] == pytest.approx(0, abs=1e-6) for errors in device.errors.values())
    assert set(device.errors) == {"a_cell", "an_experiment"}
    for one in CELLS:
        assert device.seconds(one.work, one.processes) == pytest.approx(one.seconds, rel=1e-3)


def test_no_constant_is_negative() -> None:
    shrinking = [measurement(str(number), 100 * number, 1e9) for number in range(1, 6)]
    odd = [Measurement(one.cell, 100 / number, one.work) for number, one in enumerate(shrinking, start=1)]
    assert (fit(odd) >= 0).all()


def test_errors_are_of_cells_that_the_fit_has_not_seen() -> None:
    """A cell that takes twice as long as the others' constants say is half predicted, and only it."""
    runs = [*CELLS, measurement("z/f", 200, 1e11, factor=2.0), measurement("z/g", 300, 5e10)]
    groups = [str(one.cell == "z/f") for one in runs]
    others = [one for one in runs if one.cell != "z/f"]
    assert held_out_errors(others, [one.cell for one in others])["worst"] == pytest.approx(0, abs=1e-3)
    assert held_out_errors(runs, groups)["worst"] >= 0.5


def test_the_spread_of_a_cells_runs() -> None:
    runs = [measurement("x/a", 100, 1e10, factor=factor) for factor in (0.8, 1.25)]
    mean = (0.8 + 1.25) / 2
    expected = np.median([abs(mean / 0.8 - 1), abs(mean / 1.25 - 1)])
    assert spread_of_cells([*runs, CELLS[1]]) == pytest.approx(expected, abs=1e-3)
    assert spread_of_cells(CELLS) is None


def test_too_little_to_fit_is_refused() -> None:
    with pytest.raises(UserError, match="3 different cells are too few"):
        calibrated("here", "cpu", CELLS[:3], None)
    same = [measurement(str(number), 100 * number, 0.0) for number in range(1, 6)]
    with pytest.raises(UserError, match="do not grow with their operations"):
        calibrated("here", "cpu", same, None)


def test_a_measured_device_takes_the_place_of_an_assumed_one(tmp_path: Path) -> None:
    file = tmp_path / "calibration.yaml"
    assumed = Device("G", "gpu", False, "a guess", 0.0, 0.0, peak_flops=1e11, mfu=0.4, memory_gb=96)
    write_device(assumed, file)
    write_device(Device("other", "cpu", True, "runs", 1.0, 2.0, achieved_flops=5.0), file)
    assert assumed.says() == "assumed, not measured: a guess"
    assert assumed.rate == 0.4e11
    write_device(calibrated("G", "gpu", CELLS, read_devices(file)["G"]), file)
    found = read_devices(file)
    assert list(found) == ["G", "other"]
    assert found["G"].measured
    assert (found["G"].mfu, found["G"].memory_gb) == (0.1, 96)
    assert found["G"].says().startswith("measured: 5 runs of 5 cells; median error 0% where a cell")
    assert device_for(found, None, "cpu") == (found["other"], None)
    assert device_for(found, "G", "cpu") == (found["G"], None)
    with pytest.raises(UserError, match="no device is called 'T4'; there are G, other"):
        device_for(found, "T4", "gpu")


def test_a_device_that_was_measured_goes_before_those_that_were_not() -> None:
    known = read_devices(ROOT / CALIBRATION)
    assert device_for(known, None, "gpu") == (
        known["H20"],
        "H20 is, of 3 GPUs, the first, since none was measured; --device takes another: 'H100', 'A100'",
    )
    for number, name in enumerate(("NVIDIA L40S", "NVIDIA B200"), start=1):
        known[name] = replace(known["H100"], device=name, measured=True)
        taken, why = device_for(known, None, "gpu")
        assert taken.device == "NVIDIA L40S"
        assert f"of {3 + number} GPUs, the {['only one', 'first'][number - 1]} that was measured" in str(why)
    assert device_for(known, "H20", "gpu") == (known["H20"], None)
    with pytest.raises(UserError, match="has no gpu: run `dataflex-cli plan --calibrate"):
        device_for({}, None, "gpu")


@pytest.mark.parametrize(
    ("name", "known", "memory"),
    [
        ("NVIDIA H100 80GB HBM3", "H100", 80),
        ("NVIDIA A100-SXM4-40GB", "A100", 40),
        ("NVIDIA H20", "H20", 96),
        # Whole words: these are other devices, of which nothing is known.
        ("NVIDIA H200", None, None),
        ("NVIDIA GH200 480GB", None, None),
    ],
)
def test_what_is_known_of_hardware_by_the_name_that_pytorch_has(
    name: str, known: str | None, memory: int | None
) -> None:
    found = known_of(read_devices(ROOT / CALIBRATION), name, "gpu")
    assert (found and found.device, found and found.memory_gb) == (known, memory)


def test_a_gpu_that_was_measured_reaches_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of a processor that say to be of a GPU, by the name that PyTorch has for it."""
    gpus = ["NVIDIA H100 80GB HBM3"] * 8
    folders = [finished(tmp_path, f"m{steps}.t.s", steps, gpus=gpus) for steps in (10, 21, 32, 40, 55)]
    monkeypatch.chdir(ROOT)
    file = tmp_path / "calibration.yaml"
    file.write_text(CALIBRATION.read_text())
    device, _ = calibrate(folders, None, file)
    assumed = read_devices(file)["H100"]
    assert (device.device, device.measured) == (gpus[0], True)
    assert (device.memory_gb, device.sampling) == (assumed.memory_gb, assumed.sampling) == (80, 20)
    plan = plan_of_file(Path("reproductions/paper.yaml"), Options(output=str(tmp_path)), file, ["mixture_6b"])
    assert plan["device"]["name"] == gpus[0]
    assert all(cell["fits"] for cell in plan["cells"])
    assert (
        "the only one that was measured; --device takes another: 'H20', 'H100', 'A100'" in plan["assumed"][0]
    )
    assert "assumed: sampling 20 times slower an operation" in plan["assumed"][1]
    # Of another one nobody knows the memory, and the plan says so instead of nothing.
    lacking = calibrate(
        [finished(tmp_path / "b", f"m{n}.t.s", n, gpus=["NVIDIA T9"]) for n in (10, 21, 32, 40)], None, file
    )[0]
    assert (lacking.memory_gb, lacking.sampling) == (None, 10)
    other = Options(output=str(tmp_path), device="NVIDIA T9")
    plan = plan_of_file(Path("reproductions/paper.yaml"), other, file, ["mixture_6b"])
    assert not any(cell["fits"] for cell in plan["cells"])
    assert any("give --gpu-memory-gb" in line for line in plan["assumed"])


def test_a_fit_counts_sampled_tokens_as_the_plan_does() -> None:
    """Or else a run that samples would be planned too long by as much as sampling is slower."""
    known = Device("G", "gpu", False, "a guess", 0.0, 0.0, peak_flops=1e11, mfu=0.4, sampling=20.0)
    sampled = Work(200, 1, 200, (Pass("training", 1e10), Pass("answers", 5e9, sampling=True)))
    seconds = RUN + STEP * 200 + OPERATION * (1e10 + 20 * 5e9)
    device = calibrated("G", "gpu", [*CELLS, Measurement("z/f", seconds, sampled)], known)
    assert device.seconds(sampled, 1) == pytest.approx(seconds, rel=1e-3)
    assert device.rate == pytest.approx(1 / OPERATION, rel=1e-3)


def test_sampling_is_slower() -> None:
    device = Device("G", "gpu", False, "", 0.0, 0.0, achieved_flops=10.0, sampling=4.0)
    assert device.seconds(Work(1, 1, 1, (Pass("a", 20.0), Pass("b", 20.0, sampling=True))), 2) == 1.0 + 4.0


def finished(
    root: Path, cell: str, steps: int, *, status: str = "completed", gpus: list[str] | None = None
) -> Path:
    """A run directory as one is left behind, of 1 s and .1 s a step."""
    folder = root / "train/x" / f"{cell}.seed1"
    folder.mkdir(parents=True)
    sizes = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1 + steps % 3}
    sizes |= {
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "vocab_size": 50,
        "tie_word_embeddings": True,
    }
    (folder / "config.json").write_text(json.dumps(sizes))
    config = {"stage": "pt", "finetuning_type": "full", "train_type": "static", "cutoff_len": 16}
    place = str(folder.relative_to(root))
    (folder / "config.yaml").write_text(
        yaml.safe_dump(config | {"model_name_or_path": place, "dataset_dir": "."})
    )
    (folder / "all_results.json").write_text("{}")
    manifest = {
        "status": status,
        "resumed": 0,
        "total_steps": steps,
        "wall_seconds": 1 + 0.1 * steps * (1 + steps % 3),
        "data": {"a": {"rows": 100, "loss_tokens": 1600}},
        "hardware": {"gpus": gpus or [], "processor": "cpu", "threads": 1, "world_size": 1},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_a_run_that_evaluated_held_out_text_is_counted_with_it(tmp_path: Path) -> None:
    folder = finished(tmp_path, "mixed.t.s", 10)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config |= {"train_type": "dynamic_mix", "component_name": "static", "static_mix": True}
    config |= {"packed_corpus": "packed", "eval_dataset": "held_out"}
    config |= {"eval_strategy": "steps", "eval_steps": 5}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    splits = {"train": {"a": {"tokens": 1600}}, "held_out": {"a": {"tokens": 320}}}
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed/card.json").write_text(json.dumps({"made_by": "build", "statistics": splits}))
    (one,), left_out, _ = read_measurements([folder])
    assert not left_out
    training, evaluated = one.work.passes
    # A row of 16 tokens forward once, beside its training: forward, backward and the blocks again.
    assert evaluated.times == 3
    assert evaluated.flops == pytest.approx(training.flops * 3 * 320 / one.work.tokens / 4, rel=0.1)


def test_runs_are_read_from_their_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [finished(tmp_path, f"m{steps}.t.s", steps) for steps in (10, 21, 32, 40, 55)]
    folders += [finished(tmp_path, "killed.t.s", 3, status="running"), tmp_path]
    file = tmp_path / "calibration.yaml"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    device, left_out = calibrate(folders, None, file)
    assert device.device == "cpu, 1 thread"
    assert device.source == "5 runs of 5 cells"
    assert [why for _, why in left_out] == ["not run in one go", "no manifest.json"]
    assert read_devices(file)["cpu, 1 thread"].errors == device.errors
    assert device.errors["a_cell"]["worst"] < 0.5
    other = finished(tmp_path, "other.t.s", 5, gpus=["H20"])
    with pytest.raises(UserError, match="different hardware: H20; cpu, 1 thread"):
        calibrate([*folders, other], None, file)
    with pytest.raises(UserError, match="no run can be used"):
        calibrate([tmp_path], None, file)
