"""Models and data sets of a grid: taken once, from a mirror or the hub, and held to their lock file."""
