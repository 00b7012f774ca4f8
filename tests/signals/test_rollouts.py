"""Oracles of sampling: Hugging Face's generate and warpers, the softmax, and invariances."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from dataflex.errors import UserError
from dataflex.signals.next_token import candidates, draw, nucleus
from dataflex.signals.rollouts import Rollouts, Sampling, reference_texts, sample_rollouts

PLAIN = Sampling(continuations=3, temperature=1.0, top_p=1.0, top_k=0, max_new_tokens=12)
GREEDY = replace(PLAIN, continuations=1, temperature=1e-6)
AUTHORS = Sampling(continuations=5, temperature=1.2, top_p=0.95, top_k=50, max_new_tokens=12)


@pytest.fixture(scope="module", params=["rotary", "learned"])
def loaded(request: pytest.FixtureRequest, tiny: Path) -> tuple[Any, Any]:
    """The tiny model, or one with a vector for each absolute position, and the tokenizer.

    Weights are so large that each token attends to few others, at certain distances, and that filters have
    something to cut off: with those of a fresh model positions hardly matter.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel, set_seed

    tokenizer = AutoTokenizer.from_pretrained(tiny / "model")
    if request.param == "rotary":
        model = AutoModelForCausalLM.from_pretrained(tiny / "model", dtype=torch.float32)
        large = "_proj.weight"
    else:
        set_seed(0)
        shape = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 256, "vocab_size": len(tokenizer)}
        end = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
        model = GPT2LMHeadModel(GPT2Config(**shape, **end, bos_token_id=None))
        large = "wpe.weight"
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter *= (
                15 if large in name else 8 if name.endswith(("model.norm.weight", "ln_f.weight")) else 1
            )
    return model.eval(), tokenizer


def rows_of(tokenizer: Any) -> list[tuple[list[int], list[int]]]:
    """Prompts of very different lengths, each with a right answer."""
    rows = []
    for prompt, answer in [
        ("def median(data):", "B"),
        ("x", "yes"),
        ("Return the mean of the data, which is a sequence of numbers or an iterable. " * 3, "no"),
        ("if n == 0:\n    raise", "StatisticsError"),
    ]:
        asked, right = tokenizer.encode(prompt), [*tokenizer.encode(answer), tokenizer.eos_token_id]
        rows.append((asked + right, [-100] * len(asked) + right))
    return rows


def sample(loaded: tuple[Any, Any], sampling: Sampling, **changes: Any) -> Rollouts:
    model, tokenizer = loaded
    given: dict[str, Any] = {
        "rows": rows_of(tokenizer),
        "seed": 5,
        "batch_tokens": 4000,
        "device": torch.device("cpu"),
        "eos_token_ids": [tokenizer.eos_token_id],
    }
    return sample_rollouts(model, tokenizer, sampling=sampling, **(given | changes))


def as_lists(rollouts: Rollouts) -> list[list[list[int]]]:
    return [[one.tolist() for one in row] for row in rollouts.tokens]


def test_prompts_and_references_are_split_where_supervision_starts(loaded: tuple[Any, Any]) -> None:
    tokenizer = loaded[1]
    two_turns = ([1, 5, 6, 7, 8, 9], [-100, -100, 6, 7, -100, 9])
    found = sample(loaded, GREEDY, rows=[*rows_of(tokenizer), two_turns])
    assert found.prompts[0] == "def median(data):"
    assert found.references[:4] == ("B", "yes", "no", "StatisticsError")
    assert found.prompt_tokens[0].tolist() == tokenizer.encode("def median(data):")
    assert found.prompt_tokens[4].tolist() == [1, 5]
    assert found.references[4] == tokenizer.decode([6, 7])
    assert reference_texts(tokenizer, [*rows_of(tokenizer), two_turns]) == found.references


def test_low_temperature_is_greedy_generate(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded
    found = sample(loaded, GREEDY)
    for prompt, (tokens,), (text,) in zip(found.prompt_tokens, found.tokens, found.texts, strict=True):
        ids = torch.from_numpy(prompt)[None]
        expected = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=GREEDY.max_new_tokens
        )[0, len(prompt) :]
        assert tokens.tolist() == expected.tolist()
        assert text == tokenizer.decode(expected, skip_special_tokens=True)


def test_first_tokens_are_distributed_as_the_softmax(loaded: tuple[Any, Any]) -> None:
    """Chi-squared over the tokens that are expected at least five times, the others together."""
    model, tokenizer = loaded
    draws = 4000
    sampling = Sampling(draws, temperature=1.3, top_p=1.0, top_k=0, max_new_tokens=1)
    rows = rows_of(tokenizer)[:1]
    found = sample(loaded, sampling, rows=rows, batch_tokens=10**6)
    counts = np.bincount([tokens[0] for tokens in found.tokens[0]], minlength=model.config.vocab_size)
    with torch.no_grad():
        logits = model(torch.from_numpy(found.prompt_tokens[0])[None]).logits[0, -1]
    expected = draws * (logits.double() / 1.3).softmax(0).numpy()
    often = expected >= 5
    assert often.sum() > 10
    seen = np.append(counts[often], counts[~often].sum())
    awaited = np.append(expected[often], expected[~often].sum())
    assert ((seen - awaited) ** 2 / awaited).sum() < chi2.ppf(0.9999, len(seen) - 1)


@pytest.mark.parametrize("sampling", [PLAIN, AUTHORS], ids=["plain", "authors"])
def test_batches_and_padding_change_nothing(loaded: tuple[Any, Any], sampling: Sampling) -> None:
    """One continuation a batch, some of them, all prompts together, and each prompt without neighbours."""
    whole = sample(loaded, sampling)
    for batch_tokens in (1, 150, 400, 10**6):
        assert as_lists(sample(loaded, sampling, batch_tokens=batch_tokens)) == as_lists(whole)
    longer = sample(loaded, replace(sampling, continuations=sampling.continuations + 2))
    assert [row[:-2] for row in as_lists(longer)] == as_lists(whole)
    first = sample(loaded, sampling, rows=rows_of(loaded[1])[:1])
    assert as_lists(first)[0] == as_lists(whole)[0]


def test_continuations_differ_by_row_number_and_seed(loaded: tuple[Any, Any]) -> None:
    """Also those of two rows with the same prompt."""
    twice = sample(loaded, PLAIN, rows=[rows_of(loaded[1])[0]] * 2)
    every = [tuple(tokens) for row in as_lists(twice) for tokens in row]
    assert len(set(every)) == len(every)
    assert as_lists(sample(loaded, PLAIN, seed=6)) != as_lists(sample(loaded, PLAIN))


def test_an_end_token_ends_a_continuation(loaded: tuple[Any, Any]) -> None:
    """With every token of an even number as an end, each continuation is odd tokens and then one even."""
    vocabulary = loaded[0].config.vocab_size
    found = sample(loaded, replace(PLAIN, continuations=20), eos_token_ids=list(range(0, vocabulary, 2)))
    every = [tokens for row in as_lists(found) for tokens in row]
    assert all(all(token % 2 for token in tokens[:-1]) for tokens in every)
    assert all(tokens[-1] % 2 == 0 for tokens in every if len(tokens) < PLAIN.max_new_tokens)
    assert len({len(tokens) for tokens in every}) > 3
    assert found.cut == pytest.approx(np.mean([tokens[-1] % 2 for tokens in every]))
    until = sample(loaded, replace(PLAIN, continuations=20), eos_token_ids=[])
    assert until.cut == 1
    cut = [[next((i for i, t in enumerate(x) if t % 2 == 0), 99) for x in row] for row in as_lists(until)]
    assert [[x[: at + 1] for x, at in zip(*pair, strict=True)] for pair in zip(as_lists(until), cut, strict=True)] == as_lists(found)  # fmt: skip


def test_lora_and_gradient_checkpointing_sample_as_the_plain_model(loaded: tuple[Any, Any]) -> None:
    """A fresh adapter changes nothing; one that was trained does."""
    from copy import deepcopy

    from peft import LoraConfig, get_peft_model

    plain = as_lists(sample(loaded, PLAIN))
    part = "q_proj" if "qwen2" in type(loaded[0]).__name__.lower() else "c_attn"
    adapted = get_peft_model(
        deepcopy(loaded[0]),
        LoraConfig(r=2, target_modules=[part], task_type="CAUSAL_LM", fan_in_fan_out=part == "c_attn"),
    )
    adapted.gradient_checkpointing_enable()
    adapted.config.use_cache = False
    adapted.eval()
    assert as_lists(sample((adapted, loaded[1]), PLAIN)) == plain
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter += 1
    assert as_lists(sample((adapted, loaded[1]), PLAIN)) != plain


def test_what_cannot_be_continued_is_refused(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded
    with pytest.raises(UserError, match=r"row 1 .* no prompt .* train_on_prompt"):
        sample(loaded, PLAIN, rows=[([1, 2], [-100, 2]), ([1, 2], [1, 2])])
    with pytest.raises(UserError, match="no rows"):
        sample(loaded, PLAIN, rows=[])

    class Forgetful(torch.nn.Module):
        def forward(self, past_key_values: Any, **inputs: Any) -> Any:
            output = model(**inputs)
            output.past_key_values = None
            return output

    with pytest.raises(UserError, match="cache can be copied; this one returns none"):
        sample((Forgetful(), tokenizer), PLAIN)

    class Diverged(torch.nn.Module):
        def forward(self, **inputs: Any) -> Any:
            output = model(**inputs)
            output.logits[0] = torch.nan
            return output

    with pytest.raises(UserError, match="not finite"):
        sample((Diverged(), tokenizer), PLAIN)


@pytest.mark.parametrize("top_k", [1, 7, 50, 200, 1000])
@pytest.mark.parametrize("top_p", [0.05, 0.6, 0.95, 1.0])
def test_filters_are_those_of_transformers(top_k: int, top_p: float) -> None:
    from transformers import TopKLogitsWarper, TopPLogitsWarper

    logits = 3 * torch.randn(64, 200, generator=torch.Generator().manual_seed(1))
    logits[:, 10:14] = logits[:, 10:11]  # ties, also at the edge of the top k
    expected = TopPLogitsWarper(top_p)(None, TopKLogitsWarper(top_k)(None, logits))  # type: ignore[arg-type]
    kept, tokens = candidates(logits, top_k)
    found = torch.full_like(logits, -torch.inf).scatter(1, tokens, nucleus(kept, top_p))
    # Which of several equal tokens falls out of the nucleus is nobody's to say; their number is.
    assert torch.equal(found.isfinite().sum(1), expected.isfinite().sum(1))
    others = torch.ones(200, dtype=torch.bool).index_fill(0, torch.arange(10, 14), False)
    assert torch.equal(found[:, others], expected[:, others])


def test_a_draw_inverts_the_distribution() -> None:
    """Shares .5, .2, .3 in vocabulary order; the numbers lie on both sides of each edge."""
    logits = torch.tensor([0.5, 0.2, 0.3]).log().expand(6, 3)
    numbers = torch.tensor([0.0, 0.4999, 0.5001, 0.6999, 0.7001, 0.9999], dtype=torch.float64)
    assert draw(logits, numbers, 1.0, 0, 1.0).tolist() == [0, 0, 1, 1, 2, 2]
    # Without the rarest token the others' shares are 5/8 and 3/8.
    edges = torch.tensor([0.0, 0.3, 0.62, 0.63, 0.9, 1 - 1e-16], dtype=torch.float64)
    assert draw(logits, edges, 1.0, 2, 1.0).tolist() == [0, 0, 0, 2, 2, 2]
    assert draw(logits, edges, 1.0, 0, 0.7).tolist() == [0, 0, 0, 2, 2, 2]
    assert draw(logits, numbers, 1e-6, 0, 1.0).tolist() == [0] * 6
