"""Judgements of every verdict and kind, as the judge makes them."""

from dataflex.evidence.claims.judgement import Judgement
from dataflex.evidence.claims.registry import Claim

SELECTION, MIXTURE = "data_selection", "data_mixture"


def claim(kind, table, methods, statement, published, margin, metric="MMLU", unit="points", **given):
    return Claim(
        id=given.get("id", f"{table}/{'-'.join(methods)}/{metric}"),
        kind=kind,
        statement=statement,
        table=table,
        methods=methods,
        metric=metric,
        unit=unit,
        published=published,
        margin=margin,
        source="README of the original code, table 2",
        confidence="high",
        registered="2026-11-22",
    )


def judgements(ids=()):
    """Seven of them; ``ids``: of results that some rest on."""
    ids = tuple(ids)
    return [
        Judgement(
            claim(
                "difference",
                MIXTURE,
                ("DoReMi", "Baseline"),
                "DoReMi lowers the perplexity over all domains at 6B tokens.",
                -0.083,
                0.05,
                "PPL_ALL",
                "byte perplexity",
            ),
            "demo",
            "reproduced",
            "The difference lies within the margin by two one-sided tests at the level 0.05.",
            -0.071,
            (-0.096, -0.046),
            0.036,
            0.0004,
            (1, 2, 3, 4, 5, 6),
            None,
            ids[:12],
        ),
        Judgement(
            claim(
                "value",
                SELECTION,
                ("LESS",),
                "Mistral-7B fine-tuned on rows selected by LESS answers 45.2 % of MMLU rightly.",
                45.2,
                1.5,
            ),
            "laptop",
            "consistent",
            "The published number lies inside of the prediction interval of one more run.",
            44.61,
            (43.2, 46.02),
            1.4,
            None,
            (1, 2, 3),
            14042,
            ids[12:15],
        ),
        Judgement(
            claim(
                "difference",
                MIXTURE,
                ("ODM", "Baseline"),
                "ODM raises the accuracy on MMLU at 6B tokens.",
                0.77,
                1.5,
            ),
            "demo",
            "contradicted",
            "The interval lies beyond the margin around the published difference.",
            -2.4,
            (-3.1, -1.7),
            0.98,
            0.00001,
            (1, 2, 3, 4, 5, 6),
            14042,
            ids[15:17],
        ),
        Judgement(
            claim(
                "difference",
                MIXTURE,
                ("DoReMi", "Baseline"),
                "DoReMi raises the accuracy on MMLU at 6B tokens.",
                0.57,
                1.5,
            ),
            "demo",
            "underpowered",
            "The smallest effect that these runs could have shown is ten times the published one.",
            -1.3,
            (-4.7, 2.1),
            5.6,
            0.81,
            (1, 2, 3, 4, 5, 6),
            165,
            ids[17:20],
        ),
        Judgement(
            claim(
                "value",
                SELECTION,
                ("Full-data",),
                "Llama-3.2-3B fine-tuned on all data answers 31.9 % of MMLU rightly.",
                31.9,
                1.5,
            ),
            "demo",
            "protocol-unknown",
            "Prompt and answer extraction behind the published number are not known.",
            26.6,
            None,
            None,
            None,
            (1,),
            165,
            ("f" * 64,),
        ),
        Judgement(
            claim(
                "ordering",
                SELECTION,
                ("LESS", "Reweight", "TSDS", "Random"),
                "LESS is ahead of reweighting, TSDS and random selection.",
                None,
                None,
            ),
            "paper",
            "not-run",
            "No cell of the paper's grid has a result.",
        ),
        Judgement(
            claim(
                "value",
                MIXTURE,
                ("DoReMi",),
                "The 30B mixture of DoReMi reaches a byte perplexity of 3.562 over all domains.",
                3.562,
                0.05,
                "PPL_ALL",
                "byte perplexity",
            ),
            "paper",
            "not-run",
            "No cell of the paper's grid has a result.",
        ),
    ]
