"""A small grid from a mirror to its tables: real Snakemake, real command, real models, no hub."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dataflex.assets.lock import beside, read_lock
from dataflex.corpus.questions import packaged_questions, split_questions
from dataflex.watching.attempts import read_attempts
from dataflex.watching.overview import look
from tests.corpus.packing import texts, write

ROOT = Path(__file__).resolve().parent.parent.parent
COMMIT = "c" * 40

TRAIN = {
    "do_train": True,
    "cutoff_len": 64,
    "max_steps": 2,
    "per_device_train_batch_size": 2,
    "learning_rate": 1.0e-3,
    "logging_steps": 1,
    "save_strategy": "no",
    "report_to": "none",
    "plot_loss": False,
    "disable_tqdm": True,
    "preprocessing_num_workers": 1,
    "dataloader_num_workers": 0,
    "use_cpu": True,
    "bf16": False,
    "fp16": False,
}

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 400,
    "tie_word_embeddings": True,
    "attention_bias": True,
}


def small_grid(band):
    """Like the paper's grid in what it takes and makes, and in nothing else."""
    questions = {"repo": "org/mmlu", "revision": "main", "pinned": False, "licence": "mit"}
    return {
        "schema": 1,
        "rung": "small",
        "offline": True,
        "seeds": [1],
        "corpora": {
            "rows": {
                "source": "hub_instructions",
                "train": {"repo": "org/rows", "revision": "main", "pinned": False},
                "questions": questions,
            },
            "text": {
                "source": "packed",
                "text": {"repo": "org/text", "revision": "main", "pinned": False},
                "questions": questions,
                "tokenizer": "small",
                "documents": 1,
                "options": {"tokens": 4000, "held-out": 0.25},
            },
        },
        "models": {"small": {"hub": {"repo": "org/small", "revision": COMMIT}, "architecture": SIZES}},
        "preflight": {
            # Room for what is still to be written is worked out from what is there, corpora as they were made.
            "disk_gb": 0.01,
            "scores": {
                "small": {"corpus": "rows", "band": band, "questions": 6, "shots": 1, "source": "a test"}
            },
        },
        "experiments": {
            "selection": {
                "models": ["small"],
                "baseline": "random",
                "config": {
                    **TRAIN,
                    "stage": "sft",
                    "finetuning_type": "lora",
                    "template": "qwen",
                    "dataset": "instructions",
                },
                "scales": {"rows": {"corpus": "rows"}},
                "methods": {
                    "random": {
                        "config": {
                            "train_type": "dynamic_select",
                            "component_name": "random",
                            "warmup_step": 1,
                            "update_step": 1,
                            "update_times": 1,
                        }
                    }
                },
                "evaluate": {"batch-size": 8},
            },
            "mixture": {
                "models": ["small"],
                "baseline": "natural",
                "config": {
                    **TRAIN,
                    "stage": "pt",
                    "finetuning_type": "full",
                    "train_from_scratch": True,
                    "dataset": "{domains}",
                    "packed_corpus": "{corpus}/packed",
                    "eval_dataset": "held_out",
                    "eval_strategy": "steps",
                    "eval_steps": 1,
                },
                "scales": {"tiny": {"corpus": "text"}},
                "methods": {
                    "natural": {
                        "config": {
                            "train_type": "dynamic_mix",
                            "component_name": "static",
                            "static_mix": True,
                        }
                    }
                },
            },
        },
    }


@pytest.fixture(scope="module")
def place(tiny, tmp_path_factory):
    """A folder with the workflow, the grid, and a mirror of all that the grid takes."""
    folder = tmp_path_factory.mktemp("assets")
    for name in ("workflow", "paper_figures"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "constraints.txt", folder)
    # Tables show the published values beside ours.
    shutil.copytree(ROOT / "reproductions/reference", folder / "reproductions/reference")
    mirror = folder / "mirror"
    shutil.copytree(tiny / "model", mirror / "models/org/small")
    for repo in ("rows", "mmlu", "text"):
        (mirror / "datasets/org" / repo).mkdir(parents=True)
    rows = [{"instruction": f"Say {n}.", "input": "", "output": f"{n} it is."} for n in range(64)]
    (mirror / "datasets/org/rows/rows.json").write_text(json.dumps(rows))
    dev, test = split_questions(packaged_questions()[0], seed=0)
    for split, questions in (("dev", dev), ("test", test[:9])):
        lines = "".join(json.dumps(question.row()) + "\n" for question in questions)
        (mirror / f"datasets/org/mmlu/{split}.jsonl").write_text(lines)
    write(mirror / "datasets/org/text/text.jsonl", texts(400, seed=3))
    return folder


def run(place, *arguments, part=()):
    # The command and the interpreter are those of this environment, with this repository's package.
    environment = {**os.environ, "PYTHONPATH": f"{place}/workflow/plugins:{place}:{ROOT}"}
    settings = ["grid=small.yaml", "check=false", "assets={'mirror': 'mirror'}", *part]
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2", *arguments, "--config", *settings],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.mark.slow
def test_a_grid_from_its_mirror_to_its_tables(place, monkeypatch):
    grid = place / "small.yaml"

    # 1. A score out of its band: the report says so, and nothing is trained.
    grid.write_text(yaml.safe_dump(small_grid([0.99, 1.0])))
    blocked = run(place)
    assert blocked.returncode != 0
    told = (place / "runs/small/preflight/models/small.md").read_text()
    assert "score of small: FAILED: accuracy 0." in told
    assert "band 0.99 to 1.0 (a test)" in told
    assert "nothing will be trained" in blocked.stderr + blocked.stdout
    assert not list((place / "runs/small").glob("train/*/*"))
    # The cheap checks have passed, and everything is locked.
    assert (place / "runs/small/preflight/mixture.tiny.json").is_file()
    locked = read_lock(beside(grid))
    assert sorted(locked) == [
        "datasets/org/mmlu",
        "datasets/org/rows",
        "datasets/org/text",
        "models/org/small",
    ]
    # Each was taken by one writer, whose heartbeat and end `status` knows.
    for name in locked:
        attempts = read_attempts(place / f"runs/small/attempts/asset/{name}.jsonl")
        assert [one.status for one in attempts] == [0]
    assert not list((place / "runs/small/attempts/asset").rglob("*.lock"))

    # 2. A band that holds it: both experiments run through.
    grid.write_text(yaml.safe_dump(small_grid([0.0, 0.9])))
    done = run(place)
    assert done.returncode == 0, done.stderr
    score = json.loads((place / "runs/small/preflight/models/small.json").read_text())
    assert score["mmlu"]["n"] == 6
    config = yaml.safe_load((place / "runs/small/configs/mixture/natural.small.tiny.seed1.yaml").read_text())
    assert config["model_name_or_path"] == "runs/small/assets/models/org/small"
    assert config["packed_corpus"] == "runs/small/text/packed"
    results = place / "runs/small/results"
    mixture = json.loads((results / "mixture/natural.small.tiny.seed1/metrics.json").read_text())
    assert {"RedPajamaC4", "all"} <= set(mixture["perplexity"])
    selection = json.loads((results / "selection/random.small.rows.seed1/metrics.json").read_text())
    assert selection["perplexity"] == {}
    assert selection["mmlu"]["n"] == mixture["mmlu"]["n"] == 9
    for table in ("mixture", "selection"):
        assert (place / f"runs/small/tables/{table}.md").is_file()

    # 3. More seeds need room that nobody has looked for: they are checked anew, and what is trained stays as it is.
    more = run(place, "-n", part=["seeds=[1,2]"])
    assert more.returncode == 0, more.stderr
    counts = dict(line.split() for line in more.stdout.splitlines() if len(line.split()) == 2)
    assert (counts["preflight_checks"], counts["train"]) == ("2", "2")
    assert "preflight_score" not in counts
    assert "preflight_checks" not in run(place, "-n").stdout

    # 4. Another band is checked again, and trains nothing anew.
    grid.write_text(yaml.safe_dump(small_grid([0.0, 0.95])))
    planned = run(place, "-n")
    assert planned.returncode == 0, planned.stderr
    jobs = {line.split()[0] for line in planned.stdout.splitlines() if len(line.split()) == 2}
    assert "preflight_score" in jobs
    assert not {"train", "asset", "corpus", "evaluate"} & jobs

    # 5. A flipped bit in the mirror's model stops the next taking, and with it everything behind.
    shutil.rmtree(place / "runs/small")
    weights = place / "mirror/models/org/small/model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    broken = run(place, "runs/small/assets/models/org/small.ready.json")
    assert broken.returncode != 0
    assert "model.safetensors has SHA-256" in broken.stderr
    assert not (place / "runs/small/assets/models/org/small.ready.json").exists()
    monkeypatch.chdir(place)
    (model,) = (one for one in look(Path("runs/small")).supplies if one.supply.name == "models/org/small")
    assert model.state == "failed"
    assert "model.safetensors has SHA-256" in (model.reason or "")
