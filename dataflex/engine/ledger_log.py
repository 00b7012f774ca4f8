"""The ledger's log: one line a domain and logging interval."""

from __future__ import annotations

from pathlib import Path

from dataflex.engine.facts import Facts
from dataflex.engine.journal import Journal
from dataflex.engine.ledger import Ledger


class LedgerLog(Journal):
    """``ledger.jsonl`` of a run.

    Args:
        run_dir: where it is written; None on ranks that do not write.
        facts: of the run.
    """

    def __init__(self, run_dir: Path | None, facts: Facts) -> None:
        super().__init__(run_dir / "ledger.jsonl" if run_dir else None)
        self._facts = facts

    def interval(self, step: int, ledger: Ledger, *, asked: bool) -> None:
        """Write the steps since the last call, one line a domain; nothing without steps.

        Args:
            step: steps that are trained.
            ledger: its interval is closed.
            asked: whether rows are drawn by domain.
        """
        loss_sums, tokens, samples, shares = ledger.close_interval()
        if not samples.any():
            return
        total = tokens.sum()
        for index, domain in enumerate(self._facts.domains):
            self.append(
                {
                    "step": step,
                    "domain": domain,
                    "loss": float(loss_sums[index] / tokens[index]) if tokens[index] else None,
                    "loss_tokens": int(tokens[index]),
                    "samples": int(samples[index]),
                    "share_asked": float(shares[index] / total) if asked and total else None,
                    "share_realised": float(tokens[index] / total) if total else None,
                    "total_loss_tokens": int(ledger.total_loss_tokens[index]),
                }
            )
