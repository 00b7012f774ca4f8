"""The plan of a whole grid before anything is downloaded: jobs, tokens, hours, memory, disk and power."""
