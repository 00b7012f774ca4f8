"""The dynamic training loop's parts, agnostic of methods."""
