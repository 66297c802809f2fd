"""Compares a run with the chapter's own figures, which are in references/chapter.json.

This module does not import TensorFlow.
"""
import functools
import json
import os
from typing import Any, Dict, List, Optional

from common import text

PATH = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'references',
                    'chapter.json')
VERSUS = "vs the chapter's GTX 1080"
SAME_WORK = 'info_string', 'fetch', 'batch_size', 'precision'        # besides the network


@functools.lru_cache(maxsize=None)
def figures() -> List[Dict[str, Any]]:
    """Returns the chapter's figures; none if the file is missing or damaged."""
    try:
        with open(PATH, encoding='utf-8') as file:
            return json.load(file)['figures']
    except (OSError, ValueError, KeyError):
        return []


def figure(record: Dict[str, Any], entry: Dict[str, Any]) -> Optional[Dict[str, Any]]:
    """Returns the chapter's figure for the same work as a pass of a record: the same network,
    variant, pass, fetch, batch size and precision, one process, no XLA. None if it has none."""
    if entry.get('xla') or record.get('processes'):
        return None
    for published in figures():
        if (published['benchmark'], published['variant']) == (
                record['benchmark'], record['variant']) and all(
                    published[key] == entry[key] for key in SAME_WORK):
            return published
    return None


def comparison(record: Dict[str, Any], entry: Dict[str, Any]) -> str:
    """Returns 'about 8.1 times as fast', or '0.031 times as fast'; '' if the chapter has no figure
    for the same work."""
    published = figure(record, entry)
    return published and '%s%s times as fast' % ('about ' * published['about'], text.significant(
        published['mean_s'] / entry['mean_s'], 2)) or ''
