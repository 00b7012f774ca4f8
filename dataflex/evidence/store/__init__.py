"""The store of reviewed results: what a result is called and what it holds."""
