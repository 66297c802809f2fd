"""The same networks as other libraries have them: `python -m suite peers`."""
