"""Mixers: one file a method, named after the method."""
