"""The language model that lm-eval asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dataflex.errors import UserError, one_line
from dataflex.evaluation.target import Target

if TYPE_CHECKING:
    from lm_eval.models.huggingface import HFLM
    from rich.progress import Progress


def load_model(target: Target, batch_size: int, progress: Progress, context: int | None = None) -> HFLM:
    """Load a target for scoring: float32 on a CPU; on a GPU bfloat16, with logits in float32.

    Args:
        target: model, tokenizer and adapter.
        batch_size: sequences a forward pass.
        progress: gets a task that advances with the requests that were scored.
        context: most tokens of a forward pass; None: as many as the model has positions.

    Raises:
        UserError: transformers or peft cannot load it, or it has fewer positions than that.
    """
    import torch
    from lm_eval.models.huggingface import HFLM

    class ShowingProgress(HFLM):
        """Reports to the caller's progress display in place of a bar for every batch of windows."""

        def _loglikelihood_tokens(
            self, requests: Any, disable_tqdm: bool = False, override_bs: int | None = None
        ) -> Any:
            scored = super()._loglikelihood_tokens(requests, disable_tqdm=True, override_bs=override_bs)
            progress.advance(task, len(requests))
            return scored

    gpu = torch.cuda.is_available()
    try:
        model = ShowingProgress(
            pretrained=target.model,
            tokenizer=target.tokenizer,
            peft=target.adapter,
            device="cuda" if gpu else "cpu",
            dtype="bfloat16" if gpu else "float32",
            batch_size=batch_size,
            max_length=context,
        )
    except (OSError, ValueError, RuntimeError) as error:
        reason = one_line(error)[:300]
        raise UserError(f"{target.adapter or target.model} cannot be loaded: {reason}") from error
    if gpu:
        with_float_logits(model.model)
    positions = getattr(model.config, "max_position_embeddings", None)
    if context is not None and positions is not None and context > positions:
        raise UserError(f"--context is {context}, and {target.model} has {positions} positions")
    task = progress.add_task("requests scored", total=None)
    return model


def with_float_logits(model: Any) -> None:
    """Let a model in bfloat16 compute its logits in float32, in place; the rest stays as it is.

    Those between 8 and 16 lie .0625 apart in bfloat16: answers would be ties, which the first letter wins,
    and a sum of 2,048 log-likelihoods a multiple of 32 nats.
    """
    import torch
    from torch import nn

    class FloatLogits(nn.Linear):
        """The head in float32; its weights are a copy, since the embedding may share the model's."""

        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            return super().forward(hidden.float())

    head = model.get_output_embeddings()
    own = FloatLogits(head.in_features, head.out_features, head.bias is not None, device=head.weight.device)
    own.load_state_dict(head.state_dict())
    model.set_output_embeddings(own.requires_grad_(False))
