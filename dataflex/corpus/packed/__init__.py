"""Corpora of any size: tokenised once, in parallel, to memory-mapped shards of each domain."""
