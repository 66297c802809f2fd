"""The page of `python -m suite compare --html`."""
