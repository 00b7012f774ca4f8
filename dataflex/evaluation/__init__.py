"""Evaluation contracts on lm-eval: MMLU, and perplexity of every domain."""
