"""The hooks into the Hugging Face Trainer. Its loop is neither copied nor changed.

    what is trained on   get_batch_samples   decide at a phase's first step, then draw the step's rows
    how it counts        compute_loss        token losses once: weighted into the loss, summed in the ledger
                         training_step       after a step's last backward: the weights' common scale
    what was seen        on_step_end         the ledger is reduced, the mixer observes it
    what survives        _save_checkpoint    the data side, the trainer's files, and a seal when all is there
                         on_train_begin      the data side is read back

``on_step_end`` and ``on_train_begin`` are in ``data_side``. Evaluation goes the stock way: rows are numbered,
and losses weighted, in training only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from transformers import Trainer
from typing_extensions import override

from dataflex.collectives import concatenate_ranks, from_first_rank, sum_over_ranks, wait_for_ranks, world
from dataflex.engine.bench import Bench
from dataflex.engine.checkpoints import is_resumable, remove_old, seal, unseal
from dataflex.engine.conductor import Conductor
from dataflex.engine.data_side import DataSide
from dataflex.engine.feed import ROW_IDS, Feed
from dataflex.engine.measuring import Measurements
from dataflex.engine.seen import Seen
from dataflex.engine.state import save as save_data_side
from dataflex.engine.stopping import StopAtStepEnd
from dataflex.engine.ticks import Ticks
from dataflex.engine.weighing import Weighing
from dataflex.errors import Interrupted, LoneError, UserError
from dataflex.signals.losses import token_losses
from dataflex.signals.passes import Rows, token_counts
from dataflex.signals.pauses import before_each_batch
from dataflex.signals.reference import FrozenModel, Reference, excess_losses, make_reference
from dataflex.signals.routers import RouterTap
from dataflex.signals.sharding import loading_whole, own_part
from dataflex.signals.states import StateTap
from dataflex.signals.twins import twins
from dataflex.signals.untouched import untouched

if TYPE_CHECKING:
    from dataflex.arrays import IntArray

    class _Base(Trainer):
        model: torch.nn.Module
        data_collator: Any
        _tr_loss: torch.Tensor
        _total_loss_scalar: float
        _globalstep_last_logged: int
else:
    _Base = object


class DynamicTrainer(_Base):
    """A Trainer whose data is decided while it trains; mixed in before LLaMA-Factory's trainers.

    Args:
        conductor: decides, and keeps what was decided.
        row_lengths: tokens of each row, for grouping rows of similar length when a pool is measured.
        validation: rows that a selection is meant for, when a component needs them.
        end_tokens: tokens that end a generated answer.
        reference: model that losses are compared with, when a component needs one.
        resume_from: checkpoint that the run goes on from.
        kwargs: the stock trainer's arguments; ``train_dataset`` is numbered domain after domain.
    """

    def __init__(
        self,
        *,
        conductor: Conductor,
        row_lengths: IntArray,
        validation: Sequence[dict[str, Any]] | None,
        end_tokens: Sequence[int],
        reference: FrozenModel | None,
        resume_from: Path | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.conductor = conductor
        # The loss is divided by the step's token count right here, for every kind of model.
        self.model_accepts_loss_kwargs = True
        # On the device, so that no micro-batch waits for a copy.
        self._domain_ends = torch.from_numpy(np.cumsum(conductor.facts.rows)).to(self.args.device)
        self._feed = Feed(
            self.train_dataset,
            self.data_collator,
            self.args.per_device_train_batch_size,
            self.args.gradient_accumulation_steps,
            self._loader_options(),
        )
        self._bench = self._make_bench(row_lengths, validation, end_tokens)
        self._signals = Measurements(self._bench, 0)
        self._reference = None if reference is None else self._make_reference(reference)
        self._states = StateTap(self.model) if conductor.needs("hidden_states") else None
        self._routers = RouterTap(self.model) if conductor.needs("router_counts") else None
        self._stop: StopAtStepEnd | None = None
        self._weighing: Weighing | None = None
        self._losses: list[torch.Tensor] = []
        """What the backward passes of the present step returned."""
        self.add_callback(
            DataSide(conductor, resume_from, self._restore_logging_sums, self.end_weighing, self.close_feed)
        )

    def _make_bench(
        self, row_lengths: IntArray, validation: Sequence[dict[str, Any]] | None, end_tokens: Sequence[int]
    ) -> Bench:
        def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
            return dict(self._prepare_inputs(dict(self.data_collator(rows))))

        def rows_of(dataset: Any, lengths: IntArray, supervised: IntArray) -> Rows:
            return Rows(lengths, supervised, lambda numbers: collate([dataset[int(n)] for n in numbers]))

        rows: Any = self.train_dataset
        pool = rows_of(rows, row_lengths, self.conductor.row_tokens)
        held_out = None
        if validation is not None:
            counts = [token_counts(validation[number]) for number in range(len(validation))]
            held_out = rows_of(validation, *np.array(counts, np.int64).T)
        return Bench(
            model=self.model,
            optimizer=lambda: self.optimizer,
            autocast=self._autocast,
            tokenizer=self.processing_class,
            pool=pool,
            pool_data=rows,
            twins=cache(lambda: twins(rows)),
            validation=held_out,
            validation_data=validation,
            end_tokens=end_tokens,
            collate=collate,
            batch_tokens=self.args.per_device_train_batch_size * int(np.max(row_lengths)),
            folder=Path(str(self.args.output_dir)),
            loading_whole=lambda: loading_whole(self.args),
        )

    def _autocast(self) -> AbstractContextManager[Any]:
        """Return the run's mixed precision.

        accelerate's own way looks its state up, which forgets until the model is prepared that FSDP was asked
        for: a rank that measures before would then train alone.
        """
        if not self.accelerator.native_amp:
            return nullcontext()
        half = torch.bfloat16 if self.accelerator.mixed_precision == "bf16" else torch.float16
        return torch.autocast(self.args.device.type, half)

    def _make_reference(self, frozen: FrozenModel) -> Reference:
        bench = self._bench
        # Random states must not depend on whether a cache was there already.
        with untouched(self.model):
            return make_reference(frozen, bench.pool, bench.pool_data, bench.batch_tokens, self._autocast)

    def stop_in_order(self, stop: StopAtStepEnd) -> None:
        """Let the run be stopped at the end of a step, and within a decision."""
        self._stop = stop
        self.add_callback(stop)

    def end_weighing(self) -> None:
        """Show the step's samples to the weighter."""
        assert self._weighing is not None
        self._weighing.close()

    def close_feed(self) -> None:
        """End the workers that read ahead."""
        self._feed.close()

    def _loader_options(self) -> dict[str, Any]:
        workers = self.args.dataloader_num_workers
        return {
            "num_workers": workers,
            "pin_memory": self.args.dataloader_pin_memory,
            "prefetch_factor": self.args.dataloader_prefetch_factor if workers else None,
        }

    @override
    def get_train_dataloader(self) -> DataLoader[int]:
        batch = self.args.per_device_train_batch_size
        step_rows = self.conductor.facts.batch_rows
        steps = -(-self.conductor.facts.total_rows // step_rows)
        return DataLoader(Ticks(steps * self.args.gradient_accumulation_steps * batch), batch_size=batch)

    @override
    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Any]:
        step = self.state.global_step
        if step >= self.conductor.facts.total_steps:
            # Resumed from the last checkpoint: the Trainer would take one more step before it looks.
            self.control.should_training_stop = True
            return [], None
        self._signals = Measurements(self._bench, step)
        if self._decide(step) or not self._feed.is_open:
            self._feed.open(self.conductor.rows_of_step, step, self.conductor.next_change(step))
        batches = self._feed.next_step()
        self._losses = []
        self._weighing = self._weigh_step(step)
        if self._weighing.needs_forward():
            self._weighing.learn(self._seen_beforehand(batches))
        return batches, self._get_num_items_in_batch(batches, device)

    def _decide(self, step: int) -> bool:
        try:
            with nullcontext() if self._stop is None else before_each_batch(self._stop.look):
                return self.conductor.begin_step(step, self._signals)
        except Interrupted:
            assert self._stop is not None
            if step:
                self._save_to_go_on_from()
            self._stop.leave(self._checkpoint_folder(None) if step else None, step)
        except UserError as error:
            if not step or isinstance(error, LoneError):
                raise
            # What was trained so far must not be lost to, say, a reward server that is down.
            self._save_to_go_on_from()
            raise UserError(
                f"{error}; the run is saved at step {step} and goes on from there when it is started again"
            ) from error

    def _save_to_go_on_from(self) -> None:
        """Save a whole checkpoint at the end of a run that could not go on."""
        if from_first_rank(torch.tensor([is_resumable(self._checkpoint_folder(None))])):
            return
        self.args.save_only_model = False
        self._save_checkpoint(self.model, trial=None)

    @override
    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        if ROW_IDS not in inputs:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        assert num_items_in_batch is not None
        seen, loss_sums, outputs = self._forward(model, inputs, self._reference)
        self.conductor.ledger.record(
            seen.domains,
            seen.loss_sums,
            seen.loss_tokens,
            excess=seen.excess,
            router_counts=seen.router_counts,
        )
        assert self._weighing is not None
        factors = self._weighing.factors(seen)
        weighted = loss_sums if factors is None else loss_sums * factors
        # A step without a supervised token has the loss zero, not a mean over nothing.
        tokens = torch.as_tensor(num_items_in_batch).clamp(min=1)
        # Data parallelism averages gradients over ranks; the count is already the sum over them.
        loss = weighted.sum() * world()[1] / tokens
        return (loss, outputs) if return_outputs else loss

    def _forward(
        self, model: torch.nn.Module, inputs: dict[str, Any], reference: Reference | None = None
    ) -> tuple[Seen, torch.Tensor, Any]:
        """Return what a micro-batch's forward shows, its loss sums with their graph, and its outputs."""
        rows = inputs.pop(ROW_IDS)
        labels = inputs.pop("labels")
        with ExitStack() as taps:
            for tap in (self._states, self._routers):
                if tap is not None:
                    taps.enter_context(tap.listening(inputs))
            outputs = model(**inputs)
        losses, counted = token_losses(outputs.logits, labels)
        loss_sums = losses.sum(1)
        domains = torch.bucketize(rows, self._domain_ends, right=True)
        seen = Seen(
            rows,
            domains,
            loss_sums.detach(),
            counted.sum(1).to(losses.dtype),
            states=None if self._states is None else self._states.take(),
            excess=None
            if reference is None
            else excess_losses(losses, reference.losses(rows, inputs, labels)),
            router_counts=None if self._routers is None else self._routers.take(),
        )
        return seen, loss_sums, outputs

    @override
    def training_step(
        self, model: torch.nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        loss = super().training_step(model, inputs, num_items_in_batch)
        self._losses.append(loss)
        if len(self._losses) == self.args.gradient_accumulation_steps:
            assert self._weighing is not None
            scale = self._weighing.scale()
            if scale is not None:
                gradients = [p.grad for p in model.parameters() if p.grad is not None]
                torch._foreach_mul_(gradients, scale)
                # The Trainer adds up what this returns: the sum is to be the loss whose gradient is applied.
                loss = scale * loss + (scale - 1) * torch.stack(self._losses[:-1]).sum()
        return loss

    def _weigh_step(self, step: int) -> Weighing:
        return Weighing(
            self.conductor,
            step,
            self._signals,
            self.args.gradient_accumulation_steps,
            # DeepSpeed takes its optimizer step within the last backward.
            can_scale=not self.is_deepspeed_enabled,
        )

    def _seen_beforehand(self, batches: list[dict[str, Any]]) -> list[Seen]:
        with untouched(self.model), torch.no_grad():
            return [self._forward(self.model, self._prepare_inputs(dict(batch)))[0] for batch in batches]

    @override
    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        self._refuse_ruined_weights()
        folder = self._checkpoint_folder(trial)
        logging = self._logging_sums()
        if self.args.should_save:
            unseal(folder)
            save_data_side(self.conductor, folder, logging)
        # Old checkpoints are needed until this one is sealed.
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self.args.save_total_limit = limit
        # The seal comes when all ranks have written their files.
        wait_for_ranks()
        if self.args.should_save:
            seal(folder, resumable=not self.args.save_only_model)
            remove_old(folder.parent, limit, self.state.best_model_checkpoint)

    def _refuse_ruined_weights(self) -> None:
        weights = [own_part(p) for p in self.model.parameters() if p.requires_grad]
        ruined = not all(torch.stack([torch.isfinite(weight).all() for weight in weights]).tolist())
        if float(sum_over_ranks(torch.tensor([float(ruined)]))):
            raise UserError(
                f"step {self.state.global_step} has made weights that are not finite, which are not saved: "
                "lower learning_rate, set max_grad_norm, or use bf16 instead of fp16"
            )

    def _logging_sums(self) -> dict[str, Any]:
        """Return what the Trainer has summed since it last logged; it forgets that when a run is cut."""
        return {
            "losses": concatenate_ranks(self._tr_loss.reshape(1)).tolist(),
            "total": self._total_loss_scalar,
            "last_step": self._globalstep_last_logged,
        }

    def _restore_logging_sums(self, sums: dict[str, Any]) -> None:
        """Go on with sums that were saved; other ranks than then share them equally."""
        losses, (rank, size) = sums["losses"], world()
        own = losses[rank] if len(losses) == size else sum(losses) / len(losses)
        self._tr_loss.fill_(own)
        self._total_loss_scalar = sums["total"]
        self._globalstep_last_logged = sums["last_step"]

    def _checkpoint_folder(self, trial: Any) -> Path:
        """Return where the checkpoint of the present step lies; the name is the stock Trainer's."""
        return Path(self._get_output_dir(trial)) / f"checkpoint-{self.state.global_step}"
