"""The machine that a run is timed on."""
