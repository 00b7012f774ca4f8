"""Tables and figures of the paper's shape, made from a results folder alone."""
