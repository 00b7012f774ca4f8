"""Rewards: how good a continuation is, as a number; no gradient flows through them."""
