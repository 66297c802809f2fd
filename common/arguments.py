"""Helps argparse: types of arguments, and exit codes. This module does not import TensorFlow."""
import argparse
import functools
import sys
from typing import Any, Callable

from common.stop import Stop

LARGEST = 2 ** 31 - 1                # larger counts overflow TensorFlow's shapes


def integer(at_least: int, at_most: int = LARGEST) -> Callable[[str], int]:
    """Returns an argparse type: an integer from at_least to at_most."""
    def parse(text):
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or not at_least <= value <= at_most:
            raise argparse.ArgumentTypeError('%r is not an integer from %d to %d'
                                             % (text, at_least, at_most))
        return value
    return parse


def returns_exit_code(main: Callable[..., int]) -> Callable[..., int]:
    """Decorates a main(argv), so that it returns an exit code instead of raising SystemExit (2 for
    bad usage, 0 after --help) or Stop, whose sentence it prints to stderr."""
    @functools.wraps(main)
    def wrapped(*args: Any, **named: Any) -> int:
        try:
            return main(*args, **named)
        except SystemExit as stop:
            return stop.code
        except Stop as stop:
            print(stop.text, file=sys.stderr)
            return stop.code
    return wrapped
