"""A real model on a laptop: it picks its data with LESS, is killed, goes on, and ends in the same bits."""
