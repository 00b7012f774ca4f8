"""Watching a grid from its files alone: what each cell is doing, how far it is and why it was restarted."""
