from __future__ import annotations

import random
from pathlib import Path

import pytest

from dataflex.corpus.documents import Document
from dataflex.corpus.files import write_json
from dataflex.corpus.layout import write_domains, write_questions
from dataflex.corpus.model import ModelShape, make_model
from dataflex.corpus.questions import Question, packaged_questions, split_questions
from dataflex.evaluation.evaluate import evaluate

# Of unequal size, so that a mean over subjects differs from one over questions; of two groups.
SUBJECTS = {"anatomy": 3, "astronomy": 1, "philosophy": 2}
CONTEXT = 96


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two domains and a few real questions of three subjects."""
    folder = tmp_path_factory.mktemp("evaluation") / "corpus"
    chooser = random.Random(0)
    words = [
        "the",
        "river",
        "runs",
        "over",
        "stone",
        "and",
        "light",
        "falls",
        "on",
        "quiet",
        "green",
        "hills",
        "while",
        "we",
        "wait",
    ]

    def text(length: int) -> str:
        return " ".join(chooser.choice(words) for _ in range(length)) + "\n"

    def documents(domain: str, count: int) -> list[Document]:
        # From less than one window of the model to several.
        return [Document(text(20 + 60 * number), domain, "made up", str(number)) for number in range(count)]

    domains = {
        name: {split: documents(name, count) for split, count in counts.items()}
        for name, counts in {
            "prose": {"train": 20, "validation": 1, "test": 5},
            "numbers": {"train": 20, "validation": 1, "test": 3},
        }.items()
    }
    domains["numbers"]["test"].append(
        # The last characters end a line for str.splitlines(), and stand in texts of the web.
        Document("π ≈ 3.14159, {{not a template}} 漢字\n\n  end\u2028\u2029\x85\x1c.", "numbers", "", "x")
    )
    validation, test = split_questions(packaged_questions()[0], seed=0)
    asked: list[Question] = []
    for subject, count in SUBJECTS.items():
        asked += [question for question in test if question.subject == subject][:count]
    chooser.shuffle(asked)
    write_json(
        folder / "card.json",
        {
            "domains": write_domains(folder, domains),
            "questions": write_questions(folder, validation, asked),
        },
    )
    return folder


@pytest.fixture(scope="session")
def model(corpus: Path) -> Path:
    """A tiny model whose untied output is far from uniform, so that no score is at chance by construction."""
    output = corpus.parent / "model"
    shape = ModelShape(
        vocab_size=400,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
    )
    make_model(corpus, output, shape, seed=1)
    import torch
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(output)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.mul_(8)
    network.save_pretrained(output)
    return output


@pytest.fixture(scope="session")
def result(model: Path, corpus: Path) -> Path:
    """The model's evaluation with the default options."""
    output = corpus.parent / "result"
    evaluate(model, corpus, output, quiet=True)
    return output
