"""Numbers in README and docs: each stands between markers that name it, and is computed from the results."""
