"""Tables, figures, the page that holds all, and the check against reference numbers: from the results folder alone.

What is marked with report() is shown by `snakemake --report`, with the captions in workflow/report.
"""

TABLE_OF = {
    "selection": "selection",
    "weighting": "selection",
    "mixture": "mixture",
    "mixture_moe": "mixture_moe",
    "planted": "planted",
    "planted_mixture": "planted_mixture",
}
FIGURE_OF = {"model": "learning_curves", "selection": "planted", "mixture": "planted_mixture"}
WEIGHTS = {
    f"{cell.experiment}_weights"
    for cell in REPORTED
    if cell.experiment in ("mixture", "mixture_moe") and grids.mixes(GRID, cell)
}
TABLES = [
    f"{R}/tables/{name}.{kind}"
    for name in sorted(
        {TABLE_OF[cell.experiment] for cell in REPORTED if cell.experiment in TABLE_OF}
        | WEIGHTS
        | ({"results"} if REPORTED else set())
    )
    for kind in ("md", "csv", "tex")
]
FIGURES = [
    f"{R}/figures/{name}.{kind}"
    for name in sorted(
        {FIGURE_OF[about(cell)] for cell in REPORTED}
        | {"mixture_weights" for cell in REPORTED if about(cell) == "model" and grids.mixes(GRID, cell)}
        | {"accuracy_by_step" for cell in REPORTED if grids.steps_to_evaluate(GRID, cell)}
    )
    for kind in ("svg", "pdf", "png")
]
CHECKED = [f"{R}/check.txt"] if config["check"] and Path(GRID.get("reference", "")).is_file() else []
if GRID.get("reference") and not CHECKED:
    print(f"the results will not be checked against {GRID['reference']}", file=sys.stderr)
PAGE = f"{R}/report.html"
REPORT = TABLES + FIGURES + CHECKED + [PAGE]


def ending(files, kind):
    """Those of some files that end in this way."""
    return [name for name in files if name.endswith(f".{kind}")]


rule tables:
    input:
        results_of_part(),
    output:
        ending(TABLES, "csv"),
        ending(TABLES, "tex"),
        report(ending(TABLES, "md"), caption="../report/tables.rst", category="Tables"),
    params:
        results=f"{R}/results",
        folder=f"{R}/tables",
    localrule: True
    shell:
        "python -m paper_figures tables {params.results} --output {params.folder}"


rule figures:
    input:
        results_of_part(),
    output:
        ending(FIGURES, "pdf"),
        ending(FIGURES, "png"),
        report(ending(FIGURES, "svg"), caption="../report/figures.rst", category="Figures"),
    params:
        results=f"{R}/results",
        folder=f"{R}/figures",
    localrule: True
    shell:
        "python -m paper_figures figures {params.results} --output {params.folder}"


rule page:
    input:
        results_of_part(),
        grid=config["grid"],
    output:
        report(PAGE, caption="../report/page.rst", category="All on one page"),
    params:
        results=f"{R}/results",
        seeds=f"--seeds {','.join(map(str, config['seeds']))}" if config["seeds"] else "",
    localrule: True
    shell:
        "dataflex-cli report {params.results} --grid {input.grid} {params.seeds} --output {output}"


rule check:
    input:
        results_of_part(),
        reference=GRID.get("reference", []),
        grid=config["grid"],
    output:
        report(f"{R}/check.txt", caption="../report/check.rst", category="Check"),
    log:
        f"{R}/logs/check.log",
    params:
        results=f"{R}/results",
    localrule: True
    shell:
        # Other texts than the reference's are told, and no failure: another Python version harvests others.
        "dataflex-cli check {params.results} --reference {input.reference} --grid {input.grid} "
        "--allow-other-corpus > {log} 2>&1; cp {log} {output}"


# `snakemake mixture`, `snakemake mixture_6b`: the results of one part of the grid.
for _experiment, _spec in GRID["experiments"].items():

    rule:
        name: _experiment
        input:
            results_of_part(_experiment),

    if len(_spec["scales"]) > 1:
        for _scale in _spec["scales"]:

            rule:
                name: f"{_experiment}_{_scale}".lower()
                input:
                    results_of_part(_experiment, _scale),
