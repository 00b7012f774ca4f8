"""Results of every kind, for a page that has something in every place."""

from pathlib import Path

from results_factory import edit_json, write_cell, write_mixture, write_picks, write_steps, write_study

ROOT = Path(__file__).resolve().parent.parent.parent
HOSTILE = "</script></pre><img src=x onerror=alert(1)><script>alert(2)</script>&amp;\"'"


def write_manifest(folder, **content):
    edit_json(folder / "run.json", lambda run: run["manifest"].update(content))


def write_everything(root):
    """One of the cells with a plan log, one with an evil manifest."""
    write_study(root, seeds=(1, 2))
    mixed = write_cell(root, method="odm", shares={"code": 0.75, "prose": 0.25})
    (mixed / "plan_log.jsonl").write_text('{"step": 0, "decision": "mix"}\n' * 50)
    write_steps(root / "selection/full.tiny.harvest.seed1", [0.25, 0.5])
    for method, precision in (("random", 0.5), ("less", 0.9)):
        write_picks(root, method, 1, precision)
    for method, excess in (("natural", 0.3), ("static_easy", 0.2)):
        write_mixture(root, method, excess=excess, yardstick=method.startswith("static"))
    hardware = {"processor": "a CPU", "cores": 2, "gpus": [], "world_size": 1}
    write_manifest(
        root / "mixture/natural.tiny.harvest.seed1",
        wall_seconds=30.0,
        hardware=hardware,
        commit="c" * 40,
        versions={"dataflex": "0.1.0", "torch": "2.14.1"},
        decisions={"mix": {"component": "static", "warmup_step": 10, "update_step": 5, "params": {}}},
        note=HOSTILE,
    )
    write_manifest(root / "mixture/natural.tiny.harvest.seed2", wall_seconds=50.0, hardware=hardware)
    for cell in ("uniform.tiny.harvest.seed1", "uniform.tiny.harvest.seed2", "odm.tiny.harvest.seed1"):
        write_manifest(root / "mixture" / cell, wall_seconds=None)
    return root
