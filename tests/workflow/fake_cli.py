"""Stands in for dataflex-cli: makes in a moment what the real one makes in minutes, in the same layout."""

import hashlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import yaml
from results_factory import DOMAINS, write_cell


def option(name):
    return Path(sys.argv[sys.argv.index(f"--{name}") + 1])


def written(file, text):
    """Write a file; the entry of a card for it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return {"sha256": hashlib.sha256(text.encode()).hexdigest(), "bytes": len(text)}


def corpus():
    folder = option("output")
    if folder.exists():
        sys.exit(f"{folder} exists and is not empty")
    words = sys.argv[3:]
    content = {"files": [Path(word).read_text() for word in words if Path(word).is_file()]}
    questions = {"test": written(folder / "questions/test.jsonl", "")}
    card = {"domains": {}, "instructions": written(folder / "instructions.jsonl", ""), "questions": questions}
    for domain in DOMAINS:
        card["domains"][domain] = {
            split: written(folder / split / f"{domain}.jsonl", json.dumps([domain, split, content]))
            for split in ("train", "validation", "test")
        }
    (folder / "dataset_info.json").write_text("{}")
    (folder / "card.json").write_text(json.dumps(card | content))


def planted():
    folder = option("output")
    seed = sys.argv[sys.argv.index("--seed") + 1]
    data = {
        name: written(folder / f"{name}.jsonl", json.dumps([name, seed]))
        for name in ("planted", "target_validation")
    }
    (folder / "dataset_info.json").write_text("{}")
    (folder / "planted.json").write_text(
        json.dumps({"rows": ["learned", "relevant", "learned", "duplicated"]})
    )
    (folder / "card.json").write_text(json.dumps({"family": "f", "data": data}))


def markov():
    folder = option("output")
    for name in ("train/noise.jsonl", "train/easy.jsonl", "test/noise.jsonl", "test/easy.jsonl"):
        written(folder / name, "")
    for name in ("dataset_info.json", "chains.json"):
        (folder / name).write_text("{}")
    domains = {"noise": {"entropy": 3.0}, "easy": {"entropy": 1.0}}
    card = {"family": "m", "row_tokens": 10, "target": ["easy"], "domains": domains}
    (folder / "card.json").write_text(json.dumps(card))


def mix(folder, config):
    (folder / "plan_log.jsonl").write_text(json.dumps({"step": 0, "decision": "mix"}) + "\n")
    given = config.get("init_mixture_proportions", {"noise": 0.5, "easy": 0.5})
    lines = [
        {"step": 8, "domain": name, "loss": 2.0, "loss_tokens": round(100 * share), "share_asked": share}
        for name, share in given.items()
    ]
    (folder / "ledger.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def held_out():
    """A loss that falls with the share of ``easy`` in training."""
    tokens = {}
    for line in (Path(sys.argv[2]) / "ledger.jsonl").read_text().splitlines():
        tokens[json.loads(line)["domain"]] = json.loads(line)["loss_tokens"]
    folder = option("output")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "held_out.csv").write_text(
        "domain,document,symbols,loglik,chain_loglik\n"
        f"noise,0,10,-30.5,-30.0\neasy,0,10,{-20.0 + tokens['easy'] / 10!r},-9.5\n"
    )


def select(folder):
    (folder / "selections").mkdir(exist_ok=True)
    np.save(folder / "selections/step-000004.npy", np.array([0, 1, 2]))
    line = {"step": 4, "decision": "select", "ids": "selections/step-000004.npy"}
    (folder / "plan_log.jsonl").write_text(json.dumps(line) + "\n")


def model():
    folder = option("output")
    folder.mkdir(parents=True)
    for name in ("config.json", "tokenizer.json"):
        (folder / name).write_text("{}")


def train():
    config = yaml.safe_load(Path(sys.argv[2]).read_text())
    folder = Path(config["output_dir"])
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "starts").open("a") as stream:
        stream.write("started\n")
    if os.environ.get("FAIL_TRAIN", "nothing") in sys.argv[2]:
        print("the disk is full")
        sys.exit(1)
    status = "running" if os.environ.get("HALF_DONE", "nothing") in sys.argv[2] else "completed"
    shutil.copy(sys.argv[2], folder / "config.yaml")
    manifest = {"status": status, "config_hash": "h", "wall_seconds": 1.0, "seed": config["seed"]}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    weights = "adapter_model" if config["finetuning_type"] == "lora" else "model"
    every = config.get("save_steps", 500)
    for place in (".", *(f"checkpoint-{step}" for step in range(every, config["max_steps"] + 1, every))):
        (folder / place).mkdir(exist_ok=True)
        (folder / place / f"{weights}.safetensors").write_text(str(config))
    if config.get("train_type") == "dynamic_select":
        select(folder)
    if config.get("train_type") == "dynamic_mix":
        mix(folder, config)
    else:
        ledger = {"step": 8, "domain": "code", "loss": 2.0, "loss_tokens": 10, "share_asked": None}
        (folder / "ledger.jsonl").write_text(json.dumps(ledger) + "\n")


def evaluate():
    folder, run, step = option("output"), Path(sys.argv[2]), None
    if "--step" in sys.argv:
        step = option("step").name
        if folder.name != step or not (step == "0" or (run / f"checkpoint-{step}").is_dir()):
            sys.exit(f"{run} has no checkpoint of step {step}")
        if "--documents-per-domain" in sys.argv:
            sys.exit("no documents are scored")
    if os.environ.get("FAIL_STEP") == step is not None:
        sys.exit("out of memory")
    if (run / "adapter_model.safetensors").exists() != ("--base-model" in sys.argv):
        sys.exit("an adapter needs its base model, a full model has none")
    cell = folder.parent if step else folder
    method, _, _, seed = cell.name.split(".")
    with tempfile.TemporaryDirectory() as scratch:
        made = write_cell(Path(scratch), cell.parent.name, method, int(seed.removeprefix("seed")))
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("metrics.json", "questions.jsonl", *(() if step else ("documents.jsonl",))):
            shutil.copy(made / name, folder / name)


command = sys.argv[1]
if command == "report":
    from dataflex.cli import app

    app(["report", *sys.argv[2:]], standalone_mode=False)
elif command == "corpus":
    {"model": model, "planted": planted, "markov": markov}.get(sys.argv[2], corpus)()
else:
    {"train": train, "evaluate": evaluate, "held-out": held_out}[command]()
