"""The text domains of the harvested corpus: what each is and where it comes from.

Every domain reads the files of named distributions that the pinned environment installs, so that the same
pins give the same text on every machine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import PurePosixPath

from dataflex.corpus.documents import MIN_CHARS, Document, cut, fingerprint, seeded_order
from dataflex.corpus.packages import description_of, shuffled, version_of
from dataflex.corpus.python_source import code_without_docstrings, docstrings

PIECES_PER_FILE = 2
PIECES_PER_PAGE = 4
DOCSTRINGS_PER_FILE = 8

PYTHON = (
    "accelerate", "aiohttp", "datasets", "deepspeed", "fastapi", "fonttools", "gradio", "hypothesis",
    "llamafactory", "matplotlib", "networkx", "nltk", "numpy", "pandas", "peft", "pillow", "scikit-learn",
    "scipy", "snakemake", "sqlalchemy", "sympy", "torch", "transformers", "trl",
)  # fmt: skip
DOCUMENTED = (
    "matplotlib", "networkx", "nltk", "numpy", "pandas", "pyarrow", "scikit-learn", "scipy", "sqlalchemy",
    "sympy", "torch", "transformers",
)  # fmt: skip
SESSIONS = (
    "more-itertools", "networkx", "nltk", "numpy", "pandas", "scikit-learn", "scipy", "sympy", "torch",
)  # fmt: skip
HEADERS = ("numpy", "pyarrow", "torch")
FRONTEND = ("gradio",)
TASKS = ("lm_eval",)
READMES = (
    "absl-py", "aiofiles", "aiohappyeyeballs", "aiohttp", "aiosignal", "annotated-types",
    "argparse-dataclass", "attrs", "av", "brotli", "cffi", "chardet", "charset-normalizer", "click",
    "cloudpickle", "colorama", "ConfigArgParse", "connection_pool", "contourpy", "cryptography",
    "cuda-bindings", "cuda-pathfinder", "cuda-toolkit", "cycler", "datasets", "dill", "docutils", "dpath",
    "einops", "fastapi", "ffmpy", "fire", "frozenlist", "fsspec", "GitPython", "gradio", "gradio_client",
    "greenlet", "groovy", "h11", "hf-xet", "hf_transfer", "hjson", "httpx", "huggingface_hub", "idna",
    "immutables", "Jinja2", "jsonschema", "librt", "llamafactory", "lm_eval", "lxml", "MarkupSafe",
    "matplotlib", "mbstrdecoder", "modelscope", "more-itertools", "mpmath", "msgpack", "multiprocess",
    "mypy", "networkx", "ninja", "nltk", "numpy", "nvidia-cusparselt-cu13", "nvidia-nccl-cu13",
    "nvidia-nvshmem-cu13", "opentelemetry-api", "pandas", "pandas-stubs", "pathspec", "peft", "pillow",
    "platformdirs", "pluggy", "portalocker", "propcache", "psutil", "PuLP", "py-cpuinfo", "pyarrow",
    "pycparser", "pydantic_core", "Pygments", "pyparsing", "pytablewriter", "pytest", "python-dateutil",
    "python-multipart", "pytz", "PyYAML", "regex", "requests", "rich", "rpds-py", "ruff", "safehttpx",
    "safetensors", "scikit-learn", "scipy", "semantic-version", "sentencepiece", "shellingham", "shtab",
    "six", "smart_open", "snakemake", "snakemake-executor-plugin-slurm",
    "snakemake-interface-logger-plugins", "snakemake-interface-scheduler-plugins",
    "snakemake-interface-storage-plugins", "sortedcontainers", "sqlitedict", "sqlmodel", "sse-starlette",
    "starlette", "tabledata", "tabulate", "tcolorpy", "termcolor", "threadpoolctl", "throttler",
    "tokenizers", "tomlkit", "torchdata", "torchvision", "tqdm", "traitlets", "transformers", "triton",
    "trl", "typepy", "typer", "types-PyYAML", "typing_extensions", "tyro", "tzdata", "urllib3", "uvicorn",
    "xxhash", "yarl", "yte",
)  # fmt: skip
"""Named like the others: else a package that is added to the environment would change the text, and with it
every number that was measured on it."""

_COMMENT = re.compile(r"\A\s*(?:/\*.*?\*/|(?://[^\n]*\n)+|<!--.*?-->)\s*", re.DOTALL)
_TESTS = re.compile(
    r"(^|/)(tests?|testing|conftest\.py|_?test_[^/]*|[^/]*_test\.py|_vendor|vendored|externals?)(/|$)"
)


@dataclass(frozen=True, slots=True)
class Domain:
    """A named kind of text: `documents(seed)` yields its documents in a seeded order."""

    name: str
    description: str
    distributions: tuple[str, ...]
    documents: Callable[[int], Iterator[Document]]


def library_module(name: str) -> bool:
    """True for the recorded path of a Python file that is neither a test nor bundled from elsewhere."""
    return name.endswith(".py") and not _TESTS.search(name)


# Code, documentation and sessions of one file are of one group: they lie in the same split.
def _python_code(seed: int) -> Iterator[Document]:
    for file in shuffled(PYTHON, library_module, seed):
        source = file.read()
        yield from cut(
            code_without_docstrings(source),
            domain="python_code",
            source=file.name,
            at_most=PIECES_PER_FILE,
            group=fingerprint(source),
        )


def _api_docs(seed: int) -> Iterator[Document]:
    for file in shuffled(DOCUMENTED, library_module, seed):
        source = file.read()
        if len(source) < MIN_CHARS:
            continue
        group = fingerprint(source)
        found = sorted(docstrings(source), key=lambda docstring: seeded_order(seed, docstring.name))
        documents = (
            document
            for docstring in found
            for document in cut(
                docstring.prose,
                domain="api_docs",
                source=f"{file.name}:{docstring.name}",
                at_most=1,
                group=group,
            )
        )
        yield from islice(documents, DOCSTRINGS_PER_FILE)


def _python_sessions(seed: int) -> Iterator[Document]:
    for file in shuffled(SESSIONS, lambda name: library_module(name) or name.endswith(".doctest"), seed):
        source = file.read()
        if ">>>" not in source:
            continue
        if file.name.endswith(".doctest"):
            blocks = [block for block in re.split(r"\n[ \t]*\n", source) if block.lstrip().startswith(">>>")]
        else:
            blocks = [session for docstring in docstrings(source) for session in docstring.sessions]
        yield from cut(
            "\n\n".join(blocks),
            domain="python_sessions",
            source=file.name,
            at_most=PIECES_PER_FILE,
            group=fingerprint(source),
        )


def _readmes(seed: int) -> Iterator[Document]:
    installed = [name for name in READMES if version_of(name) is not None]
    pages: list[tuple[str, Callable[[], str]]] = [
        (f"{name}/METADATA", partial(description_of, name)) for name in installed
    ]
    pages += [(file.name, file.read) for file in shuffled(READMES, _readme, seed)]
    for name, read in sorted(pages, key=lambda page: seeded_order(seed, page[0])):
        yield from cut(read(), domain="readmes", source=name, at_most=PIECES_PER_PAGE)


def _readme(name: str) -> bool:
    path = PurePosixPath(name)
    licence = "licen" in name.lower() or path.name.upper().startswith(("CHANGE", "AUTHORS", "COPYING"))
    return path.suffix in {".md", ".rst"} and not licence and "mmlu" not in name


def _plain(
    domain: str, distributions: tuple[str, ...], wanted: Callable[[str], bool], at_most: int
) -> Callable[[int], Iterator[Document]]:
    """A domain of files as they are, without the licence comment at their top."""

    def documents(seed: int) -> Iterator[Document]:
        for file in shuffled(distributions, wanted, seed):
            yield from cut(_COMMENT.sub("", file.read()), domain=domain, source=file.name, at_most=at_most)

    return documents


def _header(name: str) -> bool:
    generated = "ATen/ops/" in name or "/third_party/" in name or "_generated" in name
    return name.endswith((".h", ".hpp", ".cuh")) and not generated


def _frontend(name: str) -> bool:
    return "_frontend_code" in name and name.endswith((".svelte", ".ts", ".css", ".js"))


def _task(name: str) -> bool:
    # Everything of MMLU stays away, its translations too: they hold the questions of the evaluation.
    return name.endswith((".yaml", ".yml", "_yaml")) and "mmlu" not in name.lower()


DOMAINS: tuple[Domain, ...] = (
    Domain(
        "python_code",
        "library source code in Python, without docstrings and licence comments",
        PYTHON,
        _python_code,
    ),
    Domain(
        "api_docs",
        "prose of the docstrings of scientific libraries, without example sessions",
        DOCUMENTED,
        _api_docs,
    ),
    Domain(
        "python_sessions",
        "interactive Python sessions (>>> input and its output) from docstrings",
        SESSIONS,
        _python_sessions,
    ),
    Domain(
        "readmes",
        "package descriptions from metadata and Markdown and reStructuredText pages",
        READMES,
        _readmes,
    ),
    Domain(
        "cpp_headers",
        "C and C++ headers, without licence comments",
        HEADERS,
        _plain("cpp_headers", HEADERS, _header, PIECES_PER_FILE),
    ),
    Domain(
        "web_frontend",
        "Svelte, TypeScript and CSS sources of a web front end",
        FRONTEND,
        _plain("web_frontend", FRONTEND, _frontend, PIECES_PER_PAGE),
    ),
    Domain(
        "task_prompts",
        "evaluation-task files in YAML: prompts in many languages, no MMLU",
        TASKS,
        _plain("task_prompts", TASKS, _task, PIECES_PER_FILE),
    ),
)
