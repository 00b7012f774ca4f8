"""Benchmarks of time and peak memory: this library, upstream's and the authors' code on the same samples."""
