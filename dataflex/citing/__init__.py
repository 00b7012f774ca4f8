"""Credit: how to cite results, the suite, the paper that it reproduces, and the methods' own papers."""
