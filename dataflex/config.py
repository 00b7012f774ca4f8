"""The dataflex block of a configuration: its keys, validated before anything loads.

The keys lie beside LLaMA-Factory's in one YAML file and keep upstream's names and meaning. ``split`` takes
them out; what is left is LLaMA-Factory's own configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dataflex.engine.base import Component
from dataflex.engine.schedule import Kind
from dataflex.errors import UserError, one_line
from dataflex.registry import FOLDERS, build, explain, find, nearest

TRAIN_TYPES: dict[str, Kind] = {"dynamic_select": "select", "dynamic_mix": "mix", "dynamic_weight": "weight"}
_ONE_DECISION = {
    "component_name",
    "component_params",
    "warmup_step",
    "update_step",
    "update_times",
    "static_mix",
}
_DEFAULT_NAMES: dict[Kind, str] = {"select": "loss", "mix": "static", "weight": "loss"}

NaturalNumber = Annotated[int, Field(ge=0)]


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True, frozen=True)


class DecisionConfig(_Block):
    """One decision of a run: a component and its schedule."""

    kind: Kind
    """select, mix or weight."""
    component_name: str
    """The component's name, as listed by ``dataflex-cli components``."""
    component_params: dict[str, Any] = {}
    """Its parameters; they win over the components file."""
    warmup_step: NaturalNumber = 0
    """Optimizer steps before the first decision."""
    update_step: NaturalNumber = 0
    """Optimizer steps between two decisions. A weighter decides at every step and takes none."""
    update_times: int = 1
    """Number of decisions; 0 or less: as many as fit."""

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.kind == "weight" and self.update_step:
            raise ValueError("update_step has no meaning for weights, which are set at every step: remove it")
        return self


class DataFlexConfig(_Block):
    """The keys that dataflex adds to LLaMA-Factory's configuration."""

    train_type: Literal["static", "dynamic_select", "dynamic_mix", "dynamic_weight"] | None = None
    """static: LLaMA-Factory itself, untouched; the others: one decision of that kind."""
    components_cfg_file: str | None = None
    """A YAML file with the parameters of components; none takes the packaged one."""
    component_name: str | None = None
    """The component of the one decision that ``train_type`` names."""
    component_params: dict[str, Any] = {}
    """Its parameters, over those of the components file."""
    warmup_step: NaturalNumber = 0
    """Optimizer steps before the first decision."""
    update_step: NaturalNumber = 0
    """Optimizer steps between two decisions."""
    update_times: int = 1
    """Number of decisions; 0 or less: as many as fit."""
    train_step: NaturalNumber = 0
    """Optimizer steps of the run; 0: from the schedule, ``max_steps`` or ``num_train_epochs``."""
    static_mix: bool = False
    """Keep the initial proportions for the whole run (dynamic_mix without updates)."""
    mixture_sample_rule: Literal["mixture", "stratified", "uniform"] | None = None
    """Initial proportions: those given, natural by loss tokens, or equal."""
    init_mixture_proportions: list[float] | dict[str, float] | None = None
    """Initial shares of the loss tokens, in the order of ``dataset`` or by name."""
    packed_corpus: str | None = None
    """A folder made by ``dataflex-cli corpus build``: ``dataset`` names its domains, rows have ``cutoff_len``
    tokens, and ``eval_dataset: held_out`` evaluates on its held-out documents."""
    decisions: list[DecisionConfig] = []
    """Several decisions in one run, at most one of each kind; instead of train_type."""

    @model_validator(mode="after")
    def _one_way_to_decide(self) -> Self:
        if self.decisions and self.train_type is not None:
            raise ValueError("give either train_type or decisions, not both")
        kinds = [decision.kind for decision in self.decisions]
        if len(set(kinds)) < len(kinds):
            raise ValueError("decisions holds two of one kind: a run makes at most one of each")
        unread = sorted(self.model_fields_set & _ONE_DECISION)
        if self.decisions and unread:
            raise ValueError(f"{unread[0]} stands beside decisions: say it in one of them")
        unread = sorted(self.model_fields_set - {"train_type", "decisions", "components_cfg_file"})
        if self.train_type is None and not self.decisions and unread:
            raise ValueError(f"{unread[0]} needs train_type: dynamic_select, dynamic_mix or dynamic_weight")
        if self.train_type == "static" and self.train_step:
            raise ValueError("LLaMA-Factory knows no train_step: with train_type: static say max_steps")
        if self.train_type == "static" and self.packed_corpus is not None:
            raise ValueError(
                "LLaMA-Factory can't read packed_corpus: say train_type: dynamic_mix and static_mix: true"
            )
        if self.static_mix and self.train_type != "dynamic_mix":
            raise ValueError("static_mix needs train_type: dynamic_mix")
        mixes = self.train_type == "dynamic_mix" or "mix" in kinds
        for key in ("mixture_sample_rule", "init_mixture_proportions"):
            if getattr(self, key) is not None and not mixes and self.is_dynamic:
                raise ValueError(f"{key} needs train_type: dynamic_mix")
        if self.init_mixture_proportions is not None and self.mixture_sample_rule in (
            "stratified",
            "uniform",
        ):
            raise ValueError(
                f"init_mixture_proportions contradicts mixture_sample_rule: {self.mixture_sample_rule}: "
                "remove one of them"
            )
        if self.mixture_sample_rule == "mixture" and self.init_mixture_proportions is None:
            raise ValueError("mixture_sample_rule: mixture needs init_mixture_proportions")
        return self

    @property
    def is_dynamic(self) -> bool:
        """Whether dataflex decides anything in this run."""
        return bool(self.decisions) or self.train_type in TRAIN_TYPES

    def decision_list(self) -> list[DecisionConfig]:
        """Return the decisions of the run; ``train_type`` is the short form for one.

        Raises:
            UserError: the short form misses its component, or contradicts itself.
        """
        if self.decisions or not self.is_dynamic:
            return list(self.decisions)
        assert self.train_type is not None
        kind = TRAIN_TYPES[self.train_type]
        name = self.component_name or _DEFAULT_NAMES[kind]
        if self.static_mix:
            if name != "static":
                raise UserError(f"static_mix keeps one mixture, which contradicts component_name: {name}")
            return [
                DecisionConfig(kind=kind, component_name="static", component_params=self.component_params)
            ]
        return [
            _validated(
                DecisionConfig,
                {
                    "kind": kind,
                    "component_name": name,
                    "component_params": self.component_params,
                    "warmup_step": self.warmup_step,
                    "update_step": self.update_step,
                    "update_times": self.update_times,
                },
            )
        ]


def _validated(cls: type[Any], values: dict[str, Any]) -> Any:
    try:
        return cls(**values)
    except ValidationError as error:
        raise UserError(explain(error, list(cls.model_fields))) from None


def split(config: dict[str, Any]) -> tuple[DataFlexConfig, dict[str, Any]]:
    """Take the dataflex keys out of a configuration; return them and LLaMA-Factory's.

    Raises:
        UserError: a dataflex key has a wrong type or value.
    """
    own = {key: value for key, value in config.items() if key in DataFlexConfig.model_fields}
    host = {key: value for key, value in config.items() if key not in own}
    return _validated(DataFlexConfig, own), host


def components_of(own: DataFlexConfig) -> dict[Kind, tuple[str, Component]]:
    """Build the components of a run, by kind: the components file's parameters, then the inline ones.

    Under ``static_mix`` the mixture is ``init_mixture_proportions``, whatever the file says.

    Raises:
        UserError: the file or a component is missing, or a parameter does not fit.
    """
    components: dict[Kind, tuple[str, Component]] = {}
    for decision in own.decision_list():
        name, inline = decision.component_name, decision.component_params
        given = sorted({"proportions", "proportions_from"} & set(inline))
        if own.static_mix and given and own.init_mixture_proportions is not None:
            raise UserError(f"static_mix keeps init_mixture_proportions: remove component_params.{given[0]}")
        params = {} if own.static_mix else _file_params(decision, own.components_cfg_file)
        components[decision.kind] = name, build(decision.kind, name, params | inline)
    return components


def _file_params(decision: DecisionConfig, components_cfg_file: str | None) -> dict[str, Any]:
    if components_cfg_file is None:
        text = (resources.files("dataflex") / "components.yaml").read_text()
        file = "the packaged components file"
    elif Path(components_cfg_file).is_file():
        text, file = Path(components_cfg_file).read_text(), components_cfg_file
    else:
        raise UserError(f"components_cfg_file: no file {components_cfg_file}")
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{file} is not YAML: {one_line(error)}") from None
    folder, name = FOLDERS[decision.kind], decision.component_name
    entry = _mapping(_mapping(content, file).get(folder), f"{file}: {folder}").get(name)
    where = f"{file}: {folder}.{name}"
    odd = sorted(set(_mapping(entry, where)) - {"name", "params"})
    if odd:
        raise UserError(f"{where} takes name and params, not {odd[0]!r}")
    params = _mapping(_mapping(entry, where).get("params"), f"{where}.params")
    known = list(find(decision.kind, name).model_fields)
    for key in params:
        if key not in known:
            raise UserError(f"{where}.params: unknown key {key!r}, {nearest(key, known)}")
    return params


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise UserError(f"{where} must hold keys and values, not {value!r}")
    return value or {}


def unknown_keys(config: dict[str, Any], known: Sequence[str]) -> None:
    """Refuse a key that neither dataflex nor LLaMA-Factory knows.

    Raises:
        UserError: names the key and the nearest known one.
    """
    everything = [*known, *DataFlexConfig.model_fields]
    for key in config:
        if key not in everything:
            raise UserError(f"unknown key {key!r} in the configuration, {nearest_or_none(key, everything)}")


def nearest_or_none(key: str, known: Sequence[str]) -> str:
    """Return a hint for a key among too many known ones to list."""
    hint = nearest(key, list(known))
    return hint if hint.startswith("did you mean") else "and no known key is like it"
