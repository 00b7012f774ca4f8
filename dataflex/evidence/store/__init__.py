"""The store of reviewed results: ids, what is admitted, and which two results may be compared."""
