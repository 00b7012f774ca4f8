"""Tables and figures of time and memory, made from the files of the benchmarks alone."""
