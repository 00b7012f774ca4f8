"""Result folders as a real run leaves them; their numbers are computed here, not by the code under test."""

from __future__ import annotations

import hashlib
import json
import math
import random
from pathlib import Path

import yaml

SUBJECTS = ("anatomy", "philosophy")
GROUPS = {"anatomy": "stem", "philosophy": "humanities"}
DOMAINS = ("code", "prose")


def run_json(cell, start, corpus, **settings) -> str:
    """The account of a completed run, with the hash of its settings."""
    config = {"seed": cell["seed"], "experiment": cell["experiment"], "method": cell["method"],
              "model_name_or_path": f"runs/models/{cell['model']}", "dataset": ",".join(DOMAINS),
              "learning_rate": 0.004, "output_dir": "runs/anywhere", **settings}  # fmt: skip
    decided = {key: value for key, value in config.items() if key != "output_dir"} | {"decided": {}}
    manifest = {
        "schema": 1,
        "status": "completed",
        "config_hash": hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest(),
        "decisions": {},
        "seed": cell["seed"],
        "data": {},
        "versions": {"python": "3.11"},
        "commit": None,
        "hardware": {"machine": "x86_64"},
        "stretches": [{"started": "2026-11-22T10:25:21+00:00", "from_step": 0, "wall_seconds": 1.5}],
        "wall_seconds": 1.5,
    }
    return json.dumps(
        {"cell": cell, "start": start, "corpus": corpus, "config": config, "manifest": manifest}
    )


def write_cell(root: Path, experiment="mixture", method="natural", seed=1, *, model="tiny", scale="harvest",
               shift=0.0, shares=None, corpus="c0", start=None, questions=40) -> Path:  # fmt: skip
    """One cell below ``root``; ``shift`` moves the documents' log-likelihoods, so that methods can differ.

    ``shares``: of the tokens of every stretch, by domain; None: the run mixed nothing.
    """
    # Questions and documents are the same for all, what a model makes of them is not.
    given, rng = random.Random("given"), random.Random(f"{experiment}{method}{seed}")
    folder = root / experiment / f"{method}.{model}.{scale}.seed{seed}"
    folder.mkdir(parents=True)
    asked = []
    for number in range(questions):
        logliks = [round(min(-0.01, rng.gauss(-4, 1)), 6) for _ in range(4)]
        gold, choice = given.randrange(4), logliks.index(max(logliks))
        asked.append({"id": f"q{number}", "subject": SUBJECTS[number % 2], "gold": gold, "choice": choice,
                      "correct": choice == gold, "logliks": logliks})  # fmt: skip
    read = []
    for domain in DOMAINS:
        for number in range(5):
            tokens = given.randrange(50, 90)
            loglik = round(-tokens * (2 + shift + rng.random() / 50), 6)
            read.append({"id": f"{domain}{number}", "domain": domain, "loglik": loglik,
                         "tokens": tokens, "words": tokens // 2, "bytes": tokens * 4})  # fmt: skip

    def accuracy(rows):
        return sum(row["correct"] for row in rows) / len(rows)

    def nll(row):
        total = sum(math.exp(value) for value in row["logliks"])
        return -math.log(math.exp(row["logliks"][row["gold"]]) / total)

    def perplexity(rows):
        nats = -sum(row["loglik"] for row in rows)
        sums = {unit: sum(row[unit] for row in rows) for unit in ("tokens", "words", "bytes")}
        return {
            **sums,
            "documents": len(rows),
            "token": math.exp(nats / sums["tokens"]),
            "word": math.exp(nats / sums["words"]),
            "byte": math.exp(nats / sums["bytes"]),
            "bits_per_byte": nats / math.log(2) / sums["bytes"],
        }

    by_subject = {s: [q for q in asked if q["subject"] == s] for s in SUBJECTS}
    metrics = {
        "schema": 1,
        "mmlu": {
            "acc": accuracy(asked),
            "stderr": math.sqrt(accuracy(asked) * (1 - accuracy(asked)) / len(asked)),
            "n": len(asked),
            "macro_acc": sum(map(accuracy, by_subject.values())) / len(SUBJECTS),
            "answer_nll": sum(map(nll, asked)) / len(asked),
            "chance": {"acc": 0.25, "answer_nll": math.log(4)},
            "at_chance": abs(accuracy(asked) - 0.25) <= 2 * math.sqrt(0.25 * 0.75 / len(asked)),
            "subjects": {
                name: {"acc": accuracy(own), "n": len(own), "answer_nll": sum(map(nll, own)) / len(own)}
                for name, own in by_subject.items()
            },
            "groups": {GROUPS[name]: accuracy(own) for name, own in by_subject.items()},
        },
        "perplexity": {
            **{domain: perplexity([row for row in read if row["domain"] == domain]) for domain in DOMAINS},
            "all": perplexity(read),
        },
        "protocol": {},
        "protocol_hash": hashlib.sha256(b"{}").hexdigest(),
    }
    cell = {"experiment": experiment, "method": method, "model": model, "scale": scale, "seed": seed}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    (folder / "documents.jsonl").write_text("".join(json.dumps(row) + "\n" for row in read))
    lines = [f"{step},{step * 100},{4 - step / 20 + shift + rng.random() / 10}" for step in range(5, 45, 5)]
    (folder / "curve.csv").write_text("step,tokens,loss\n" + "\n".join(lines) + "\n")
    stretches = [f"{step},{name},{round(100 * share)},{100 * share!r},"
             for step in (20, 40) for name, share in (shares or {}).items()]  # fmt: skip
    (folder / "shares.csv").write_text("\n".join(["step,domain,tokens,asked,weight", *stretches]) + "\n")
    (folder / "run.json").write_text(run_json(cell, start, corpus))
    return folder


def write_steps(folder: Path, accuracies, every=200) -> None:
    """The curve of a cell: these accuracies, of as many questions as it was asked, and its own at the end."""
    score = json.loads((folder / "metrics.json").read_text())["mmlu"]
    lines = [f"{every * place},{acc!r},{1.5 - acc!r},{score['n']}" for place, acc in enumerate(accuracies, 1)]
    end = f"{every * (len(accuracies) + 1)},{score['acc']!r},{score['answer_nll']!r},{score['n']}"
    (folder / "by_step.csv").write_text("\n".join(["step,acc,answer_nll,n", *lines, end]) + "\n")


def write_study(root: Path, seeds=(1, 2, 3), corpus="c0") -> Path:
    """Three experiments with several seeds, the fine-tuned ones started from the mixture baseline."""
    for seed in seeds:
        start = {
            "experiment": "mixture",
            "method": "natural",
            "model": "tiny",
            "scale": "harvest",
            "seed": seed,
        }
        write_cell(root, "mixture", "natural", seed, corpus=corpus)
        write_cell(root, "mixture", "uniform", seed, shift=0.1, corpus=corpus)
        for method in ("full", "random", "loss"):
            write_cell(root, "selection", method, seed, shift=-0.1, corpus=corpus, start=start)
        for method in ("none", "linupper"):
            write_cell(root, "weighting", method, seed, shift=-0.05, corpus=corpus, start=start)
    return root


def write_grid(root: Path, rung="demo", **settings) -> Path:
    """The grid below ``root`` that asks for the cells of ``write_study`` and ``write_picks``, as they are."""
    methods = {"mixture": ("natural", "uniform", "odm"), "selection": ("full", "random", "loss"),
               "weighting": ("none", "linupper"), "planted": ("less", "random")}  # fmt: skip
    shared = {"dataset": ",".join(DOMAINS), "learning_rate": 0.004, **settings}
    experiments = {
        experiment: {
            "models": ["tiny"],
            "config": {**shared, "experiment": experiment},
            "scales": {"pool" if experiment == "planted" else "harvest": {"corpus": "corpus"}},
            "methods": {
                name: {
                    "config": {"method": name},
                    **({"target": ["relevant"]} if experiment == "planted" else {}),
                }
                for name in names
            },
            "evaluate": "selection" if experiment == "planted" else {},
        }
        for experiment, names in methods.items()
    }
    grid = {
        "schema": 1,
        "rung": rung,
        "seeds": [1],
        "corpora": {"corpus": {"source": "harvest"}},
        "models": {"tiny": {"build": {"corpus": "corpus"}}},
        "experiments": experiments,
    }
    file = root / "reproductions" / f"{rung}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(grid))
    return file


def edit_json(file: Path, change) -> None:
    """Apply ``change`` to the content of a JSON file."""
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def write_picks(root: Path, method="less", seed=1, precision=0.9, *, n=20, target=("duplicated", "relevant"),
                corpus="family", start=None) -> Path:  # fmt: skip
    """One cell of the planted experiment below ``root``: ``n`` distinct rows, a share of them of the target."""
    pool = {"corrupted": 10, "duplicated": 10, "irrelevant": 30, "relevant": 30}
    truth = [name for name, count in pool.items() for _ in range(count)]
    rng = random.Random(f"{method}{seed}")
    rng.shuffle(truth)
    hits = round(precision * n)
    wanted = [row for row, name in enumerate(truth) if name in target]
    others = [row for row, name in enumerate(truth) if name not in target]
    ids = rng.sample(wanted, hits) + rng.sample(others, n - hits)
    counts = {name: sum(truth[row] == name for row in ids) for name in pool}
    folder = root / "planted" / f"{method}.tiny.pool.seed{seed}"
    folder.mkdir(parents=True)
    summary = {
        "schema": 1,
        "target": sorted(target),
        "pool": pool,
        "base_rate": len(wanted) / len(truth),
        "step": 9,
        "n": n,
        "precision": hits / n,
        "shares": {name: count / n for name, count in counts.items()},
        "decisions": [{"step": 9, "n": n, "classes": {name: c for name, c in counts.items() if c}}],
    }
    cell = {"experiment": "planted", "method": method, "model": "tiny", "scale": "pool", "seed": seed}
    (folder / "selection.json").write_text(json.dumps(summary))
    (folder / "picks.csv").write_text("step,id,planted\n" + "".join(f"9,{row},{truth[row]}\n" for row in ids))
    (folder / "curve.csv").write_text(f"step,tokens,loss\n5,50,{2 + rng.random()}\n")
    (folder / "shares.csv").write_text("step,domain,tokens,asked,weight\n")
    (folder / "run.json").write_text(run_json(cell, start, corpus))
    return folder


CHAINS = {"noise": 3.0, "easy": 0.5, "kin": 1.5}
ROW_TOKENS = 10


def write_mixture(root: Path, method="natural", seed=1, *, excess=0.2, shares=(0.5, 0.3, 0.2), weights=None,
                  yardstick=False, model="chain", corpus="family") -> Path:  # fmt: skip
    """One cell of the planted mixtures below ``root``.

    Every document of a domain has the entropy and ``excess`` as its mean loss; 20 rows are trained a stretch.
    ``weights``: a list of loss weights by domain, one a stretch.
    """
    rng = random.Random(f"{method}{seed}")
    folder = root / "planted_mixture" / f"{method}.{model}.chains.seed{seed}"
    folder.mkdir(parents=True)
    names = list(CHAINS)
    held_out = ["domain,document,symbols,loglik,chain_loglik"]
    for name in names:
        for number in range(2):
            chain = -CHAINS[name] * 8
            held_out.append(f"{name},{number},8,{chain - 8 * excess!r},{chain!r}")
    stretches = (20, 40)
    ledger = ["step,domain,tokens,asked,weight"]
    for place, step in enumerate(stretches):
        for name, share in zip(names, shares, strict=True):
            weight = repr(weights[place][name]) if weights else ""
            ledger.append(
                f"{step},{name},{round(share * 20) * ROW_TOKENS},{share * 20 * ROW_TOKENS!r},{weight}"
            )
    by_name = dict(zip(names, shares, strict=True))
    realised = {
        name: round(share * 20) / sum(round(s * 20) for s in shares) for name, share in by_name.items()
    }
    relative = [{name: values[name] / sum(values.values()) for name in names} for values in weights or ()]
    off = max(abs(round(share * 20) - share * 20) for share in shares) * 2
    losses = {name: CHAINS[name] + excess for name in names}
    summary = {
        "schema": 1,
        "yardstick": yardstick,
        "target": ["easy", "kin"],
        "entropy": CHAINS,
        "row_tokens": ROW_TOKENS,
        "loss": losses,
        "excess": dict.fromkeys(names, excess),
        "target_loss": (losses["easy"] + losses["kin"]) / 2,
        "target_excess": excess,
        "asked": by_name,
        "realised": realised,
        "asked_last": by_name,
        "rows_off": off,
        "rows_off_worst": off,
        "weight": {name: sum(w[name] for w in relative) / 2 for name in names} if weights else {},
        "weight_last": dict(relative[-1]) if weights else {},
    }
    cell = {
        "experiment": "planted_mixture",
        "method": method,
        "model": model,
        "scale": "chains",
        "seed": seed,
    }
    (folder / "mixture.json").write_text(json.dumps(summary))
    (folder / "held_out.csv").write_text("\n".join(held_out) + "\n")
    (folder / "shares.csv").write_text("\n".join(ledger) + "\n")
    (folder / "curve.csv").write_text(f"step,tokens,loss\n20,200,{2 + rng.random()}\n")
    (folder / "run.json").write_text(run_json(cell, None, corpus))
    return folder
