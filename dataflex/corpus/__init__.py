"""Making the data of a rung: domains of text, questions, an instruction pool, a tiny model."""
