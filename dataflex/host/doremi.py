"""DoReMi as one job: a reference model, a proxy model that learns the mixture, and the main model.

Each part is a run of its own below the job's ``output_dir``: ``round1/reference``, ``round1/proxy``, ...,
``main``. Started again, the job passes over the parts that are finished, and a part that was interrupted goes
on from its last checkpoint. In a further round the reference model is trained on what the round before has
learned.
"""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dataflex.config import DataFlexConfig, components_of, split
from dataflex.engine.proportions import learned_proportions
from dataflex.errors import UserError
from dataflex.evidence.explain import read_run
from dataflex.evidence.manifest import is_completed, without_secrets, write_atomically
from dataflex.host.launch import planned_ranks
from dataflex.host.prepare import check
from dataflex.registry import explain

Part = Literal["reference", "proxy", "main"]
Config = dict[str, Any]
Train = Callable[[Path], None]

_STATIC: Config = {"train_type": "dynamic_mix", "component_name": "static", "static_mix": True}
_OF_ALL = {"train_step", "components_cfg_file"}
"""Keys of dataflex that may stand beside ``doremi``; the others are decided here."""
_OF_REFERENCE = {"mixture_sample_rule", "init_mixture_proportions"}


class DoReMiBlock(BaseModel):
    """The ``doremi`` key of a configuration; what stands beside it holds for all parts."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True, frozen=True)

    small: Config = {}
    """Keys of the reference and the proxy runs, over the rest: their model, their number of steps."""
    reference: Config = {}
    """Keys of the reference runs, over those; also the proportions of the first (else the natural ones)."""
    proxy: Config = {}
    """Keys of the proxy runs, over ``small``."""
    main: Config = {}
    """Keys of the main run."""
    params: Config = {}
    """Parameters of mixer ``doremi``, see ``dataflex-cli components``."""
    update_step: Annotated[int, Field(ge=1)] = 1
    """Optimizer steps of the proxy between two updates of the weights."""
    rounds: Annotated[int, Field(ge=1)] = 1
    """Rounds of reference and proxy at the most."""
    tolerance: Annotated[float, Field(ge=0)] = 1e-3
    """Rounds end when no proportion has changed by as much."""


class Job:
    """The parts of a DoReMi configuration.

    Args:
        config: the file and its overrides.

    Raises:
        UserError: a key is unknown, misplaced or contradicts another.
    """

    def __init__(self, config: Config) -> None:
        given = config.get("doremi")
        if not isinstance(given, dict):
            raise UserError("doremi is missing: say what its parts are, at least `doremi: {small: {...}}`")
        try:
            self.block = DoReMiBlock(**given)
        except ValidationError as error:
            raise UserError(f"doremi: {explain(error, list(DoReMiBlock.model_fields))}") from None
        self._base = {key: value for key, value in config.items() if key != "doremi"}
        if not isinstance(self._base.get("output_dir"), str):
            raise UserError("output_dir is missing: the parts of the job lie below it")
        self.output_dir = Path(self._base.pop("output_dir"))
        _refuse_decided("the configuration", self._base, _OF_ALL)
        for name in ("small", "reference", "proxy", "main"):
            keys = getattr(self.block, name)
            allowed = _OF_ALL | _OF_REFERENCE if name == "reference" else _OF_ALL
            _refuse_decided(f"doremi.{name}", keys, allowed)
            if "output_dir" in keys:
                raise UserError(f"doremi.{name}: output_dir is that of the whole job, give it once")
        if "reference_model_path" in self.block.params:
            raise UserError("doremi.params: the job trains the reference model, remove reference_model_path")

    def folder(self, part: Part, number: int = 1) -> Path:
        """Return the run directory of a part; ``number``: its round, from 1."""
        return self.output_dir / ("main" if part == "main" else f"round{number}/{part}")

    def config(self, part: Part, number: int = 1) -> Config:
        """Return the configuration of a part; of the main run, with what round ``number`` has learned."""
        block = self.block
        own: Config
        if part == "main":
            own = block.main | _STATIC | self._from_round(number)
        elif part == "reference":
            own = block.small | block.reference | _STATIC
            if number > 1:
                own = {key: value for key, value in own.items() if key not in _OF_REFERENCE}
                own |= self._from_round(number - 1)
            elif not _OF_REFERENCE & set(own):
                own["mixture_sample_rule"] = "stratified"
        else:
            params = block.params | {"reference_model_path": str(self.folder("reference", number))}
            own = block.small | block.proxy
            own |= {"train_type": "dynamic_mix", "component_name": "doremi", "component_params": params}
            own |= {"mixture_sample_rule": "uniform", "update_step": block.update_step, "update_times": 0}
        return self._base | own | {"output_dir": str(self.folder(part, number))}

    def _from_round(self, number: int) -> Config:
        return {"component_params": {"proportions_from": str(self.folder("proxy", number))}}

    def check(self) -> None:
        """Check all parts as far as that goes before the first has run.

        Raises:
            UserError: what is wrong and what to change.
        """
        ranks = planned_ranks(os.environ)
        # LLaMA-Factory refuses a directory with files, which a part that was begun has.
        nowhere = {"output_dir": str(self.output_dir / "checked")}
        check(self.config("reference") | nowhere, planned_ranks=ranks)
        components_of(split(self.config("proxy"))[0])
        later = {"train_type", "component_name", "component_params", "update_step", "update_times"}
        for part in ("proxy", "main"):
            known = {key: value for key, value in self.config(part).items() if key not in later}
            check(known | _STATIC | nowhere, planned_ranks=ranks)

    def run(self, train: Train, until: Part = "main") -> None:
        """Train the parts that are not finished yet, in turn.

        Args:
            train: trains the configuration in a file.
            until: the last part to train.

        Raises:
            UserError: a part failed, or was finished with another configuration.
        """
        if int(os.environ.get("NNODES", "1")) > 1:
            raise UserError(
                "doremi trains its parts on one node: on several, train them in turn by the files that it "
                "writes, or use the workflow"
            )
        last = 1
        for number in range(1, self.block.rounds + 1):
            last = number
            self._part(train, "reference", number)
            if until == "reference":
                return
            self._part(train, "proxy", number)
            change = self._change(number)
            print(f"DoReMi: round {number} changed a proportion by {change:.4f} at the most", flush=True)
            if change < self.block.tolerance:
                break
        if until == "main":
            self._part(train, "main", last)

    def _part(self, train: Train, part: Part, number: int) -> None:
        folder, config = self.folder(part, number), self.config(part, number)
        if is_completed(folder):
            _refuse_changed(folder, config)
            print(f"DoReMi: {folder} is complete", flush=True)
            return
        print(f"DoReMi: training {folder}", flush=True)
        if (folder / "manifest.json").is_file() and not any(folder.glob("checkpoint-*")):
            # Killed before its first checkpoint: there is nothing to go on from.
            shutil.rmtree(folder)
        file = folder.with_name(f"{folder.name}.yaml")
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, yaml.safe_dump(config, sort_keys=False))
        train(file)
        # The model of a part must not stay in memory beside that of the next one.
        gc.collect()
        if not is_completed(folder):
            raise UserError(f"{folder} did not finish: start the job again, it goes on from there")

    def _change(self, number: int) -> float:
        """Return the largest change of a proportion over a round."""
        mixtures = [d for d in read_run(self.folder("reference", number))["decisions"] if "proportions" in d]
        before = mixtures[-1]["proportions"]
        after = learned_proportions(self.folder("proxy", number), list(before), "doremi")
        return max(abs(new - old) for new, old in zip(after.tolist(), before.values(), strict=True))


def part_named(name: str) -> Part:
    """Return the part that is called so.

    Raises:
        UserError: none is.
    """
    for part in get_args(Part):
        if name == part:
            return cast(Part, part)
    raise UserError(f"until: there are {', '.join(get_args(Part))}, not {name!r}")


def _refuse_decided(where: str, keys: Iterable[str], allowed: set[str]) -> None:
    decided = sorted((set(keys) & set(DataFlexConfig.model_fields)) - allowed)
    if decided:
        hint = "it belongs to doremi.reference" if decided[0] in _OF_REFERENCE else "remove it"
        raise UserError(f"{where}: {decided[0]} is decided by doremi itself: {hint}")


def _refuse_changed(folder: Path, config: Config) -> None:
    made = yaml.safe_load((folder / "config.yaml").read_text())
    now = yaml.safe_load(yaml.safe_dump(without_secrets(config)))
    for key in sorted(made.keys() | now.keys()):
        if made.get(key) != now.get(key):
            raise UserError(
                f"{folder} was finished with {key} {made.get(key)}, not {now.get(key)}: change it back, "
                "remove the folder to train it again, or choose another output_dir"
            )
