"""``dataflex-cli report``: everything that the results say, on one page that needs nothing else."""
