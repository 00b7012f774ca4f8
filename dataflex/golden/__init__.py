"""Golden runs: a tiny training with every registered component, compared with what was recorded of it."""
