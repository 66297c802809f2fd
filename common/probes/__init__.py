"""What is observed of a run besides the time of its steps."""
