"""No figure stands in the README that a file in results/ or references/ does not produce."""
import json
import os
import re

import pytest

from common import report
from suite import compare

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CPU = os.path.join(ROOT, 'results', 'cpu-2-cores')


@pytest.fixture(scope='module', params=['README.md', 'README.zh-CN.md'])
def readme(request):
    return read(ROOT, request.param)


def read(*path):
    with open(os.path.join(*path), encoding='utf-8') as file:
        return file.read()


def block(readme, name):
    """The lines between `<!-- NAME -->` and `<!-- end -->`."""
    return re.search('<!-- %s -->\n(.*?)<!-- end -->' % re.escape(name), readme, re.DOTALL).group(1)


def test_the_table_is_up_to_date(readme):
    assert compare.replace_table(readme, 'chapter', compare.readme_table()) == readme


def test_the_output_is_what_was_printed(readme):
    printed = read(CPU, 'alexnet.txt')
    shown = block(readme, 'output: results/cpu-2-cores/alexnet.txt')
    assert shown == ''.join('    %s\n' % line for line in printed.splitlines())


def test_what_was_printed_is_what_the_record_says():
    record = json.loads(read(CPU, 'alexnet.json'))
    printed = read(CPU, 'alexnet.txt').splitlines()
    assert record['status'] == 'finished'
    for result in record['results']:
        lines = report.result(result)
        start = printed.index(lines[0])
        assert printed[start:start + len(lines)] == lines


def test_the_cost_of_the_harness_is_what_was_measured(readme):
    cost = json.loads(read(CPU, 'harness_cost.json'))
    shown = block(readme, 'harness: results/cpu-2-cores/harness_cost.json')
    assert shown == harness_sentence(cost)
    assert cost['harness_s_per_step'] < 20e-6
    assert cost['harness_share_of_alexnet'] < 0.01


def harness_sentence(cost):
    return (
        '%.1f microseconds a step, %.4f %% of a forward step of AlexNet at batch size 32, on the\n'
        'machine above (TensorFlow %s). The telemetry thread, sampling a %s, moved that step by\n'
        '%+.2f %%.\n' % (1e6 * cost['harness_s_per_step'], 100 * cost['harness_share_of_alexnet'],
                        cost['tensorflow'], cost['telemetry'],
                        100 * cost['telemetry_share_of_alexnet']))


def test_the_defaults_in_the_table_of_flags_are_the_scripts(readme):
    from common import cli
    args = vars(cli.argument_parser('').parse_args([]))
    rows = re.findall(r'^\| `--(\w+) \w+`[^|]*\|[^|]*\| (\w+) \|$', readme, re.MULTILINE)
    found = {name: value for name, value in rows if name in args}
    assert found == {name: str(args[name]) for name in
                     ('batch_size', 'num_batches', 'num_steps_burn_in', 'fetch', 'device',
                      'precision', 'intra_op_threads')}


def test_every_file_and_command_named_is_there(readme):
    for name in re.findall(r'`(?:python )?([\w./-]+\.(?:py|json|md)|\w+/)`', readme):
        if name not in ('MY_RECORD.json', 'A.json', 'B.json', 'results/'):
            assert os.path.exists(os.path.join(ROOT, name)), name
    makefile = read(ROOT, 'Makefile')
    for target in re.findall(r'(?:`|^    )make (\w+)', readme, re.MULTILINE):
        assert re.search('^%s:' % target, makefile, re.MULTILINE), target


def test_both_languages_have_the_same_commands_figures_and_files():
    english, chinese = read(ROOT, 'README.md'), read(ROOT, 'README.zh-CN.md')
    for same in [r'^    .*$',                            # commands and what they print
                 r'^<!-- .* -->$', r'^\| `([^` ]*)',          # generated parts; files, flags
                 r'^#+ ', r'https?://[^)\s]+']:
        assert [len(found) if same == r'^#+ ' else found
                for found in re.findall(same, english, re.MULTILINE)] \
            == [len(found) if same == r'^#+ ' else found
                for found in re.findall(same, chinese, re.MULTILINE)], same
    assert block(english, 'table: chapter') == block(chinese, 'table: chapter')
