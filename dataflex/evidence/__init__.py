"""Evidence for a reproduction: results that are validated, collected and compared with reference numbers."""
