"""What runs in a process of its own, in this library's environment or in another's."""
