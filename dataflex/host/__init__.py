"""The bridge to LLaMA-Factory: nothing else in the package imports it."""
