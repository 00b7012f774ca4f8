"""The model hub: a repository's commit and files, and their download; what goes wrong is explained."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from dataflex.assets.choice import CODE, PICKLES
from dataflex.assets.mirror import VARIABLE
from dataflex.errors import UserError, one_line
from dataflex.grid import Asset

_T = TypeVar("_T")


def page(asset: Asset) -> str:
    """Address of the repository's page, where a licence is accepted."""
    folder = "" if asset.kind == "models" else "datasets/"
    return f"https://huggingface.co/{folder}{asset.repo}"


def place_in_mirror(asset: Asset) -> str:
    """Where a mirror holds the repository."""
    return f"<mirror>/{asset.name} (name the mirror with assets.mirror or {VARIABLE})"


def gate(asset: Asset) -> str:
    """What to do about a repository whose licence has to be accepted."""
    terms = f" ({asset.licence})" if asset.licence else ""
    return (
        f"{asset.repo} is gated: accept its licence{terms} on {page(asset)}, "
        "then log in with `hf auth login` or HF_TOKEN in the environment; or put its files into "
        f"{place_in_mirror(asset)}"
    )


def explained(asset: Asset, ask: Callable[[], _T]) -> _T:
    """The answer of the hub.

    Raises:
        UserError: it refuses or can't be reached, or the disk is full; one sentence that says what to do.
    """
    from httpx import HTTPError
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
        XetDownloadError,
    )

    try:
        return ask()
    except GatedRepoError:
        raise UserError(gate(asset)) from None
    except RevisionNotFoundError:
        raise UserError(
            f"{asset.repo} has no revision {asset.revision} on the hub: correct it in the grid"
        ) from None
    except RepositoryNotFoundError:
        # The hub answers so, too, when a private or gated repository is asked for without a token.
        if asset.gated:
            raise UserError(gate(asset)) from None
        raise UserError(
            f"{asset.repo} is not on the hub, or it is private: correct it in the grid, log in with "
            f"`hf auth login`, or put its files into {place_in_mirror(asset)}"
        ) from None
    except (
        HfHubHTTPError,
        OfflineModeIsEnabled,
        XetDownloadError,
        HTTPError,
        OSError,
        ValueError,
        RuntimeError,
    ) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"{asset.name}: no room is left on the disk: make some, or set `output` of the workflow to a "
                "larger one; what has been taken is kept"
            ) from None
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 403):
            raise UserError(gate(asset)) from None
        hint = f" {gate(asset)}." if asset.gated else ""
        raise UserError(
            f"{asset.name}: the hub can't be reached ({one_line(error)[:200]}).{hint} Run it where there is "
            f"a network, or put the files into {place_in_mirror(asset)}"
        ) from None


def look_up(asset: Asset, revision: str) -> tuple[str, list[str]]:
    """Commit of a revision, and the names of all its files.

    Raises:
        UserError: there is none, the licence was not accepted, or the hub can't be reached.
    """
    from huggingface_hub import HfApi

    def ask() -> tuple[str, list[str]]:
        found = HfApi().repo_info(asset.repo, repo_type=asset.kind.removesuffix("s"), revision=revision)
        siblings = getattr(found, "siblings", None) or []
        return str(found.sha), [sibling.rfilename for sibling in siblings]

    return explained(asset, ask)


def download(asset: Asset, commit: str, names: Sequence[str], folder: Path) -> None:
    """Fetch files of a commit into a folder; those that are there already are not fetched again.

    Raises:
        UserError: as `look_up`.
    """
    from huggingface_hub import snapshot_download

    pickles = any(name.endswith(PICKLES) for name in names)
    explained(
        asset,
        lambda: snapshot_download(
            asset.repo,
            repo_type=asset.kind.removesuffix("s"),
            revision=commit,
            local_dir=folder,
            # Patterns of the grid are few; a data set may have many thousand files.
            allow_patterns=list(asset.files or names),
            ignore_patterns=[f"*{suffix}" for suffix in (CODE if pickles else (*CODE, *PICKLES))],
        ),
    )
