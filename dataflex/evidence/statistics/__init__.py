"""What numbers of runs and of questions tell: errors, intervals, tests and the effects that could be seen."""
