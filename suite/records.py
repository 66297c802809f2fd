"""Reads records and published figures. They may come from anywhere, so what is read is checked.

Two JSON Schemas, common/record.schema.json and reference.schema.json beside this file, say what is
allowed. Keys that they do not know are accepted: a later version may have written them.
"""
import functools
import json
import math
import os
import re
from typing import Any, Callable, Dict, Optional

import fastjsonschema

from common import cautions, networks, variables
from common.stop import Stop

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SCHEMAS = {'record': os.path.join(ROOT, 'common', 'record.schema.json'),
           'reference': os.path.join(ROOT, 'suite', 'reference.schema.json')}
PUBLISHED = 'hardware', 'year', 'software', 'source', 'note'      # about a published figure
NO_RECORD = 'not a record of these benchmarks'
MAX_DEPTH = 20                       # of lists and objects in each other; a record has 6
# Their squares are floats, and no count or time comes near them.
MIN_NUMBER, MAX_NUMBER = 1e-100, 1e100
MAX_SHOWN = 60                       # characters of a value in an error
STEP_KINDS = cautions.KINDS + ('few_steps',)           # the last: in older records


def load(path: str) -> Dict[str, Any]:
    """Returns the record or the reference (which has `figures`) in a file, each text as one line.

    Secrets that an older version recorded are left out. The stragglers of a job are cautions of
    its passes, also in records that are older than that, and the cautions about its steps are those
    of today's rules, because the samples are there.

    Raises:
        Stop: another version of this project wrote it.
        ValueError: the file is missing or damaged, or (NO_RECORD) is something else; the text says
            why.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError('not a file')                   # reading a pipe would wait for ever
    try:
        with open(path, encoding='utf-8-sig') as file:   # with or without a byte-order mark
            data = _bounded(json.load(file))
    except OSError as error:
        raise ValueError(error.strerror) from None
    except (ValueError, RecursionError) as error:
        raise ValueError('not JSON, or cut short (%s)' % one_line(error)) from None
    if isinstance(data, dict) and {'figures', 'source'} <= set(data):
        _complete(data)
        fault = _fault('reference', data)
    elif not isinstance(data, dict) or not {'schema', 'benchmark', 'results'} <= set(data):
        raise ValueError(NO_RECORD)
    else:
        version = schema('record')['properties']['schema']['const']
        if data['schema'] != version:
            raise Stop(
                'schema %s, and %d is read here: run the benchmark again, or compare with the '
                'version that wrote it' % (_shown(data['schema']), version), 2)
        fault = _fault('record', data) or _contradiction(data)
    if fault:
        raise ValueError('damaged: %s' % fault)
    if 'environment' in data:
        environment = data['environment']
        environment['command'] = variables.command(environment['command'])
        environment['variables'] = variables.published(environment['variables'])
    for entry in data.get('results', []):
        _update(entry)
    return data


def one_line(text: Any) -> str:
    """Returns it as a line that can be written as UTF-8 and in XML."""
    return ''.join(letter if letter.isprintable() else ' ' for letter in str(text))


def _bounded(value, depth=0):
    """The value with its texts as lines. Raises ValueError: too deep, or a number too large or too
    small."""
    if depth > MAX_DEPTH:
        raise ValueError('more than %d levels' % MAX_DEPTH)
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, list):
        return [_bounded(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {one_line(key): _bounded(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (int, float)) and value and not MIN_NUMBER < abs(value) < MAX_NUMBER:
        raise ValueError('a number of %s' % _shown(value))
    return value


@functools.lru_cache(maxsize=None)
def validator(kind: str, strict: bool = False) -> Callable[[Any], Any]:
    """Returns the function that checks a 'record' or a 'reference' against its schema. It raises
    fastjsonschema.JsonSchemaValueException. Unknown keys pass, except if it is `strict`."""
    return fastjsonschema.compile(schema(kind, strict))


@functools.lru_cache(maxsize=None)
def schema(kind: str, strict: bool = False) -> Dict[str, Any]:
    """Returns the schema of a 'record' or a 'reference'; see validator()."""
    def without_strictness(pairs):
        return {key: value for key, value in pairs
                if strict or (key, value) != ('additionalProperties', False)}

    with open(SCHEMAS[kind], encoding='utf-8') as file:
        return json.load(file, object_pairs_hook=without_strictness)


def _fault(kind, data) -> Optional[str]:
    """What is wrong with a record or a reference; None if it meets its schema."""
    try:
        validator(kind)(data)
    except fastjsonschema.JsonSchemaValueException as error:
        fault = re.sub('^data( |[.])', lambda found: 'it ' * (found.group(1) == ' '), error.message)
        return fault if error.rule == 'required' else '%s: %s' % (fault, _shown(error.value))
    for part in data.get('figures', [data]):
        if part['benchmark'] not in networks.NETWORKS:
            return 'no network is called %s: the networks are %s' % (
                _shown(part['benchmark']), ', '.join(networks.NETWORKS))
    return None


def _complete(reference):
    """Gives each figure what the reference says of all of them."""
    if isinstance(reference['figures'], list):
        shared = {key: reference[key] for key in PUBLISHED if key in reference}
        reference['figures'] = [dict(shared, **figure) if isinstance(figure, dict) else figure
                                for figure in reference['figures']]


def _contradiction(record):
    """What a JSON Schema cannot say: mean_s is the mean of the samples and above 0, and a pass
    that was checked has samples. None if all of that holds."""
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


def _update(entry):
    """Replaces the cautions about the steps of a pass by those of today's rules, and moves the
    sentences of an older record's scaling.stragglers to its cautions."""
    notes = [caution for caution in entry['warnings'] if caution['kind'] not in STEP_KINDS]
    if entry['samples_s']:
        notes += [caution._asdict() for caution in cautions.about(
            entry['samples_s'], entry['burn_in_s'])]
    if entry.get('scaling'):
        stragglers = [{'kind': 'straggler', 'text': text}
                      for text in entry['scaling'].pop('stragglers', [])]
        notes += [caution for caution in stragglers if caution not in notes]
    entry['warnings'] = notes


def _shown(value):
    """As JSON, cut to MAX_SHOWN characters."""
    text = json.dumps(value)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN - 1] + '\u2026'
