"""What a run imports, imported once for the processes that are forked."""

import importlib

from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING
from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING

from dataflex.registry import components

for name in (
    "dataflex.cli",
    "dataflex.engine.trainer",
    "dataflex.failures",
    "dataflex.host.builders",
    "dataflex.host.doremi",
    "dataflex.host.static",
    "dataflex.host.train",
    "deepspeed",
    "llamafactory.data",
    "llamafactory.hparams",
    "llamafactory.model",
    "llamafactory.train.pt.trainer",
    "llamafactory.train.sft.trainer",
    "llamafactory.train.tuner",
    "peft",
    "sentence_transformers",
    "tests.conformance.faults",
    "transformers.models.qwen2.modeling_qwen2",
    "transformers.models.qwen3_moe.modeling_qwen3_moe",
):
    importlib.import_module(name)

components()
# These import the modules of all models when they are first looked through.
list(MODEL_FOR_CAUSAL_LM_MAPPING.keys())
list(TOKENIZER_MAPPING.keys())
