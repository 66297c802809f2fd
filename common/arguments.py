"""Types of command-line arguments. This module does not import TensorFlow."""
import argparse
from typing import Callable

LARGEST = 2 ** 31 - 1                # larger counts overflow TensorFlow's shapes


def integer(at_least: int) -> Callable[[str], int]:
    """Returns an argparse type: an integer from at_least to LARGEST."""
    def parse(text):
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or not at_least <= value <= LARGEST:
            raise argparse.ArgumentTypeError('%r is not an integer from %d to %d'
                                             % (text, at_least, LARGEST))
        return value
    return parse
