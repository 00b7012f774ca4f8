"""A data set on the Hugging Face hub, streamed shard by shard; touched only when one is named."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from dataflex.corpus.schema import document_of
from dataflex.errors import UserError, one_line

SPLIT = "train"

_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def is_name(name: str) -> bool:
    """Whether a data set could have this name."""
    return _NAME.fullmatch(name) is not None


def revision_of(name: str) -> str:
    """The commit of a data set's main branch.

    Raises:
        UserError: there is no such data set, or no way to the hub.
    """
    from httpx import HTTPError
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        return str(HfApi().dataset_info(name).sha)
    except (HfHubHTTPError, OfflineModeIsEnabled, HTTPError, OSError, ValueError) as error:
        reason = one_line(error)
        raise UserError(
            f"{name} is no file here, and as a data set on the hub it can't be reached: {reason}; "
            "give local files, or a name and a network"
        ) from None


def _stream(name: str, revision: str | None) -> Any:
    from datasets import load_dataset

    try:
        return load_dataset(name, split=SPLIT, streaming=True, revision=revision)
    except (OSError, ValueError) as error:
        raise UserError(f"{name} can't be streamed: {one_line(error)}") from None


def shards(name: str, revision: str | None) -> int:
    """Number of shards (files) of the train split."""
    return int(_stream(name, revision).num_shards)


def read_shard(name: str, revision: str | None, shard: int) -> Iterator[tuple[str, str]]:
    """Documents of one shard.

    Raises:
        UserError: a row is not of the schema, or the stream broke off.
    """
    stream = _stream(name, revision)
    row = 0
    try:
        for row, found in enumerate(stream.shard(num_shards=stream.num_shards, index=shard), start=1):
            yield document_of(found, f"{name}, shard {shard}, row {row}")
    except (OSError, ValueError) as error:
        raise UserError(
            f"{name}, shard {shard}, after row {row}: {one_line(error)}; run it again to go on"
        ) from None
