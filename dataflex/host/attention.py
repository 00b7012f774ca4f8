"""FlashAttention with transformers 5.6.0, which fails on every model that has no attention sinks.

Its function casts the sinks without asking whether there are any (huggingface/transformers issue 45588,
mended in 5.6.1; LLaMA-Factory 0.9.5 allows nothing later than 5.6.0). A function may be registered under the
same name, and this one hands sinks on that cast to none.
"""

from __future__ import annotations

from importlib import metadata
from typing import Any

FAULTY = "5.6.0"
NAME = "flash_attention_2"


class _NoSinks:
    """Stands for sinks that are not there."""

    def to(self, dtype: Any) -> None:
        """Cast to nothing."""


def mend_flash_attention() -> bool:
    """Let models without sinks use FlashAttention-2 in this process.

    Returns:
        Whether the installed transformers needed it.
    """
    if metadata.version("transformers") != FAULTY:
        return False
    from transformers import AttentionInterface
    from transformers.integrations.flash_attention import flash_attention_forward

    def attend(
        module: Any, query: Any, key: Any, value: Any, mask: Any, s_aux: Any = None, **rest: Any
    ) -> Any:
        sinks: Any = _NoSinks() if s_aux is None else s_aux
        return flash_attention_forward(module, query, key, value, mask, s_aux=sinks, **rest)

    AttentionInterface.register(NAME, attend)
    return True
