"""Reads records and published figures. They may come from anywhere, so what is read is checked.

Two JSON Schemas, common/record.schema.json and reference.schema.json beside this file, say what is
allowed. Keys that they do not know are let be: a
later version may have written them.
"""
import json
import math
import os
import re
from typing import Any, Dict, Optional

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SCHEMAS = {'record': os.path.join(ROOT, 'common', 'record.schema.json'),
           'reference': os.path.join(ROOT, 'suite', 'reference.schema.json')}
SCHEMA = 1                           # common.record's, which imports TensorFlow
DEPTH = 20                           # of lists and objects in each other; a record has 6
LARGEST = 1e100                      # its square is a float, and no count or time comes near it
TYPES = {'string': str, 'number': (int, float), 'integer': int, 'object': dict, 'array': list,
         'boolean': bool, 'null': type(None)}


class OtherVersion(ValueError):
    """A record that another version of this project has written."""


def load(path: str) -> Dict[str, Any]:
    """Returns the record or the reference (which has `figures`) in a file, each text as one line.

    Raises ValueError: there is none; the text says why.
    """
    try:
        with open(path, encoding='utf-8') as file:
            data = _checked(json.load(file))
    except OSError as error:
        raise ValueError(error.strerror) from None
    except (ValueError, RecursionError) as error:
        raise ValueError('not JSON, or cut short (%s)' % one_line(error)) from None
    if isinstance(data, dict) and {'figures', 'source'} <= set(data):
        fault = _fault(data, _schema('reference'))
    elif not isinstance(data, dict) or not {'schema', 'benchmark', 'results'} <= set(data):
        raise ValueError('not a record of these benchmarks')
    elif data['schema'] != SCHEMA:
        raise OtherVersion('schema %s, and %d is read here: run the benchmark again, or compare '
                           'with the version that wrote it' % (_shown(data['schema']), SCHEMA))
    else:
        fault = _fault(data, _schema('record')) or _contradiction(data)
    if fault:
        raise ValueError('damaged: %s' % fault)
    return data


def one_line(text: Any) -> str:
    """Returns it as a line that can be written as UTF-8 and in XML."""
    return ''.join(letter if letter.isprintable() else ' ' for letter in str(text))


def _checked(value, depth=0):
    """The value with its texts as lines. Raises ValueError: too deep, or a number too large."""
    if depth > DEPTH:
        raise ValueError('more than %d levels' % DEPTH)
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, list):
        return [_checked(one, depth + 1) for one in value]
    if isinstance(value, dict):
        return {one_line(key): _checked(one, depth + 1) for key, one in value.items()}
    if isinstance(value, (int, float)) and not -LARGEST < value < LARGEST:
        raise ValueError('a number of %s' % _shown(value))
    return value


def _schema(name):
    with open(SCHEMAS[name], encoding='utf-8') as file:
        return json.load(file)


def _fault(value: Any, schema: Dict[str, Any], name: str = '') -> Optional[str]:
    """Says what is wrong with the value, None if it meets the schema: as much of JSON Schema as the
    two files use, but for the keys that it does not know."""
    if 'anyOf' in schema:
        faults = [_fault(value, one, name) for one in schema['anyOf']]
        return None if None in faults else faults[-1]
    kinds = schema.get('type', list(TYPES))
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if not any(isinstance(value, TYPES[kind]) and (kind == 'boolean' or not isinstance(value, bool))
               for kind in kinds):
        return '%s is %s, not %s' % (name, _shown(value), ' or '.join(kinds))
    if value not in schema.get('enum', [value]):
        return '%s is %s, none of %s' % (name, _shown(value), _shown(schema['enum']))
    if isinstance(value, str) and not re.search(schema.get('pattern', ''), value):
        return '%s is %s' % (name, _shown(value))
    if isinstance(value, (int, float)) and value < schema.get('minimum', value):
        return '%s is %s, below %g' % (name, _shown(value), schema['minimum'])
    parts = []
    if isinstance(value, dict):
        missing = sorted(set(schema.get('required', [])) - set(value))
        if missing:
            return '%s lacks %s' % (name or 'it', ', '.join(missing))
        others = schema.get('additionalProperties') or {}
        parts = [('%s.%s' % (name, key) if name else key, one,
                  schema.get('properties', {}).get(key, others)) for key, one in value.items()]
    elif isinstance(value, list):
        if not schema.get('minItems', 0) <= len(value) <= schema.get('maxItems', math.inf):
            return '%s has %d values' % (name, len(value))
        parts = [('%s[%d]' % (name, i), one, schema.get('items', {}))
                 for i, one in enumerate(value)]
    return next(filter(None, (_fault(one, rule, part) for part, one, rule in parts)), None)


def _contradiction(record):
    """What no JSON Schema can say: the mean is that of the samples, and above 0; what was checked
    was timed."""
    timed = [('results[%d]' % i, entry) for i, entry in enumerate(record['results'])]
    timed += [(name + '.scaling.alone', entry['scaling']['alone']) for name, entry in timed
              if entry.get('scaling')]
    for name, entry in timed:
        samples_s, mean_s = entry['samples_s'], entry['mean_s']
        if samples_s or 'faults' in entry or 'alone' in name:
            mean = math.fsum(samples_s) / max(1, len(samples_s))
            if not mean_s or abs(mean_s - mean) > 1e-6 * mean or entry['sd_s'] is None:
                return '%s has a mean of %s s, and %d samples of a mean of %.6g s' % (
                    name, _shown(mean_s), len(samples_s), mean)
    return None


def _shown(value):
    """As JSON, no longer than what a line can hold."""
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:59] + '\u2026'
