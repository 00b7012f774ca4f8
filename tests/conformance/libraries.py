"""What a run imports, imported once for the processes that are forked."""

import deepspeed  # noqa: F401
import peft  # noqa: F401
import sentence_transformers  # noqa: F401
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING
from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING
from transformers.models.qwen2 import modeling_qwen2  # noqa: F401
from transformers.models.qwen3_moe import modeling_qwen3_moe  # noqa: F401

from dataflex.registry import components

components()
# These import the modules of all models when they are first looked through.
list(MODEL_FOR_CAUSAL_LM_MAPPING.keys())
list(TOKENIZER_MAPPING.keys())
