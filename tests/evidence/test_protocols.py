"""What is said of the paper's protocols: every part by a source, and the paper's grid by the known parts."""

import re
from pathlib import Path

import pytest
import yaml

from dataflex.evidence.claims.published import read, read_protocols

REFERENCE = Path("reproductions/reference")
PROTOCOLS = read_protocols(REFERENCE / "protocols.yaml")
SOURCES = set(re.findall(r"^\| (\w+) \|", (REFERENCE / "README.md").read_text(), re.MULTILINE)) - {"source"}
GRID = yaml.safe_load(Path("reproductions/paper.yaml").read_text())["experiments"]


def sources(text):
    """The words in brackets at the end of a known part."""
    return set(re.fullmatch(r".+ \[([\w ]+)\]", text)[1].split())


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS.keys())
def test_every_known_part_has_a_source_that_the_readme_lists(protocol):
    named = [sources(text) for text in protocol.known.values()]
    assert set().union(*named) == set(protocol.source.split()) <= SOURCES


def test_what_was_not_found_is_unknown():
    """The published numbers of these families do not say at which settings they were trained."""
    training = {"peak learning rate", "batch size", "sequence length"}
    for name in ("mixture_mmlu", "mixture_perplexity", "domain_weights"):
        assert training <= set(PROTOCOLS[name].unknown)
    assert any("last weights or their mean" in part for part in PROTOCOLS["domain_weights"].unknown)
    assert {"shots", "cutoff length", "precision", "seeds"} <= set(PROTOCOLS["selection_mmlu"].unknown)
    assert "hardware of the runs on one GPU" in PROTOCOLS["efficiency_less"].unknown


def test_the_hardware_of_one_run_is_not_said_of_all():
    hardware = {part: text for part, text in PROTOCOLS["efficiency_less"].known.items() if "H20" in text}
    assert hardware == {"hardware of the run on 8 GPUs": "NVIDIA H20 [digest]"}


def test_no_claim_about_learned_proportions_has_a_known_protocol():
    published = read(REFERENCE / "published.csv").values()
    assert {one.protocol.name for one in published if one.place[3] == "DoReMi learned"} == {"domain_weights"}
    assert not any(one.protocol.unknown for one in published if one.place[3] == "natural/default")


def test_the_grid_of_the_paper_has_the_known_settings():
    known, config = PROTOCOLS["selection_mmlu"].known, GRID["selection"]["config"]
    assert known["LoRA rank and alpha"].startswith(f"{config['lora_rank']} and {config['lora_alpha']} ")
    rate = f"{config['learning_rate']:.1e}".replace("e-0", "e-")
    assert known["learning rate"].startswith(f"{rate}, {config['lr_scheduler_type']}, ")
    assert known["evaluation"].startswith(f"every {GRID['selection']['evaluate_steps']} steps")
    online = GRID["selection"]["methods"]["random"]["config"]
    words = ", ".join(f"{name} {online[name]}" for name in ("warmup_step", "update_step", "update_times"))
    assert known["schedule of the online methods"].startswith(words)
    proxy = GRID["mixture"]["methods"]["doremi_proxy"]
    parameters = proxy["config"]["component_params"]
    mixture = PROTOCOLS["mixture_mmlu"].known
    assert mixture["DoReMi's step size and smoothing"].startswith(
        f"{parameters['eta']} and {parameters['eps']} "
    )
    told = f"every {proxy['config']['update_step']} steps at 6B, every {proxy['at']['30B']['update_step']} at 30B"
    assert told in mixture["DoReMi's updates"]
