"""Selection, mixture and reweighting of the training data while an LLM trains, on LLaMA-Factory."""

from importlib.metadata import version

__version__ = version("dataflex")
