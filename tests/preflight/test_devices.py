"""What a node lacks is found on that node, before a training of days is released."""

import json
from types import SimpleNamespace

import pytest
import yaml

from dataflex.errors import UserError
from dataflex.host.capabilities import check_attention, has_flash_attention
from dataflex.preflight import devices
from dataflex.preflight.report import Finding

GIB = 2**30


@pytest.fixture
def node(monkeypatch):
    """A node with GPUs and libraries, however this machine is."""

    def make(count=8, gigabytes=80, bf16=True, nccl=True, flash=True):
        import torch

        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "a GPU")
        one = SimpleNamespace(total_memory=gigabytes * 1e9)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: one)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
        monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: nccl)
        monkeypatch.setattr(devices, "has_flash_attention", lambda: flash)
        monkeypatch.setattr(devices, "step", lambda *asked: Finding("a step", "passed", str(asked)))

    return make


@pytest.fixture
def grid(tmp_path):
    experiment = {
        "models": ["small"],
        "config": {"bf16": True, "flash_attn": "fa2"},
        "scales": {"only": {"corpus": "questions"}},
        "methods": {"plain": {"config": {}}},
        "resources": {"train": {"gpus": 8}},
    }
    content = {
        "schema": 1,
        "rung": "small",
        "seeds": [1],
        "corpora": {"questions": {"source": "directory", "path": "corpus"}},
        "models": {"small": {"name_or_path": "org/small"}},
        "preflight": {"gpu_memory_gb": 30},
        "experiments": {"one": experiment},
    }
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


def look(grid, asked=8):
    output = grid.parent / "devices.json"
    return devices.check_devices(grid, output, asked, experiment="one", scale="only"), output


def test_a_node_that_has_all_releases_the_trainings(grid, node):
    node()
    findings, output = look(grid)
    told = {finding.what: finding.state for finding in findings}
    assert told == dict.fromkeys(
        ("GPUs", "GPU memory", "bf16", "nccl", "FlashAttention-2", "a step"), "passed"
    )
    assert findings[-1].told == "('flash_attention_2', 'cuda', 'bfloat16')"
    assert len(json.loads(output.read_text())["findings"]) == 6


def test_a_small_model_has_the_precision_of_the_trainings(grid, node):
    """A GPU that knows no bf16 is not refused for it where no training asks for it."""
    node(bf16=False)
    content = yaml.safe_load(grid.read_text())
    content["experiments"]["one"]["config"] = {}
    grid.write_text(yaml.safe_dump(content))
    assert look(grid)[0][-1].told == "(None, 'cuda', 'float32')"


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_a_small_model_is_trained_as_the_trainings_will_be(dtype):
    """Here on a CPU, with what a CPU has; an attention that isn't there is told, whatever it raises."""
    assert devices.step("sdpa", "cpu", dtype).line() == (
        f"a step: ok: a model of two layers in {dtype}, attention sdpa"
    )
    if not has_flash_attention():
        lacking = devices.step("flash_attention_2", "cpu", dtype)
        assert (lacking.state, "flash" in lacking.told.lower()) == ("failed", True)


def test_a_driver_that_is_too_old_is_told(grid, node, monkeypatch):
    import torch

    def name(index):
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 12020).")

    node()
    monkeypatch.setattr(torch.cuda, "get_device_name", name)
    with pytest.raises(UserError, match=r"driver on your system is too old .* is built for CUDA"):
        look(grid)


@pytest.mark.parametrize(
    ("lacks", "message"),
    [
        ({"count": 4}, "8 asked for, 4 visible: look at the partition and gres in the profile"),
        ({"gigabytes": 24}, "24.0 GB a GPU, 30 needed: ask for larger ones"),
        ({"bf16": False}, "bf16: take GPUs of compute capability 8.0 or later"),
        ({"nccl": False}, "nccl: install a torch that was built with it"),
        ({"flash": False}, "flash_attn: fa2 needs a CUDA device and the package flash-attn"),
    ],
)
def test_what_a_node_lacks_is_told_with_what_to_change(grid, node, lacks, message):
    node(**lacks)
    with pytest.raises(UserError, match="nothing will be trained") as refused:
        look(grid)
    assert message in str(refused.value)
    assert not (grid.parent / "devices.json").exists()


def test_nothing_is_asked_of_a_node_that_no_setting_needs(grid, node):
    node(count=0, bf16=False, nccl=False, flash=False)
    content = yaml.safe_load(grid.read_text())
    content["experiments"]["one"]["config"] = {}
    grid.write_text(yaml.safe_dump(content))
    findings, _ = look(grid, asked=0)
    assert [finding.what for finding in findings] == ["GPUs"]


def asking(flash_attn, do_train=True):
    return SimpleNamespace(
        model=SimpleNamespace(flash_attn=flash_attn), training=SimpleNamespace(do_train=do_train)
    )


def test_training_with_an_attention_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr("dataflex.host.capabilities.has_flash_attention", lambda: False)
    with pytest.raises(UserError, match="Say flash_attn: auto for that one"):
        check_attention(asking("fa2"))
    check_attention(asking("auto"))
    monkeypatch.setattr("dataflex.host.capabilities.has_flash_attention", lambda: True)
    check_attention(asking("fa2"))
