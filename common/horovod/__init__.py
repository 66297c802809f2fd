"""A run of more than one process."""
