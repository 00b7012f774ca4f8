"""Claims of a paper, registered before the runs that test them, and what the results say of each."""
