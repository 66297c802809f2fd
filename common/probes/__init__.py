"""What is observed of a run besides the time of its steps: a file for each.

Their functions are called by benchmark.py and return what they observed: keys of the record, faults
(why a pass is not valid, a sentence each) and cautions.
"""
