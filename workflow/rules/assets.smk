"""Models and data sets of the hub: each taken once, verified and locked; from a mirror where there is one.

These jobs run where Snakemake runs, since compute nodes are often kept off the network. Files that are taken are
no outputs, because Snakemake deletes outputs before a job starts over and a download goes on where it was.
"""

import dataclasses


rule asset:
    output:
        f"{R}/assets/{{asset}}.ready.json",
    log:
        f"{R}/logs/asset/{{asset}}.log",
    params:
        spec=lambda w: json.dumps(dataclasses.asdict(ASSETS[w.asset]), sort_keys=True),
        grid=config["grid"],
        root=R,
        mirror=f"--mirror {shlex.quote(place)}" if (place := (config["assets"] or {}).get("mirror")) else "",
    localrule: True
    # Lock and attempts are no parameter: one more would have what was taken, and all that is made from it, made again.
    shell:
        "{ONLINE} python {SCRIPTS}/hold.py " + held("asset", "{wildcards.asset}") + " --makes {output:q} -- "
        "dataflex-cli assets resolve {params.grid} --only {wildcards.asset} --root {params.root} "
        "{params.mirror} --output {output} > {log} 2>&1"
