"""The output shapes at the right of the four scripts' lines are those of the graph."""
import ast
import io
import re
import sys
import tokenize

import pytest

import alexnet_benchmark
import inception_v3_benchmark
import resnet_v2_benchmark
import vgg16_benchmark
from common.tf1 import slim, tf

SHAPE = re.compile(r'#\s*(\d+(?:\s*[x,]\s*\w+)*)\s*$')    # '# 27 x 27 x 192', '# 17 x 17 x n'


def shape_comments(source):
    """Line number -> [27, 27, 192], for the comments that are a shape and stand behind code. A
    dimension may be the name of a local variable."""
    found = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        match = SHAPE.match(token.string) if token.type == tokenize.COMMENT else None
        if match and token.line[:token.start[1]].strip():
            dimensions = match.group(1).split(' x ')
            found[token.start[0]] = [int(d) if d.isdigit() else d for d in dimensions]
    return found


class Checker:
    """Watches the functions of one source file run (`with checker:`).

    When a statement that ends in a shape comment is done, the array that it assigned is compared
    with it; when a function is done that has lines `Block('block1', ...)` with one, and returned
    (net, end_points), the end point of that block is. The batch, the first dimension, is left out.

    Attributes:
        comments: of the file, see shape_comments.
        checked: line numbers of those that were compared.
        faults: sentences.
    """

    def __init__(self, source, filename):
        self.filename = filename
        self.comments = shape_comments(source)
        self.checked, self.faults = set(), []
        tree = ast.parse(source)
        # An ast of Python 3.7 has no last lines: a statement reaches to the next one.
        statements = sorted((node for node in ast.walk(tree) if isinstance(node, ast.stmt)),
                            key=lambda node: node.lineno)
        ends = [node.lineno for node in statements[1:]] + [source.count('\n') + 2]
        self.first_line = {}                             # line -> first line of its statement
        self.assigns = {}                                # first line -> (line of comment, name)
        for node, end in zip(statements, ends):
            self.first_line.update((line, node.lineno) for line in range(node.lineno, end))
            commented = [line for line in range(node.lineno, end) if line in self.comments]
            if commented and isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                self.assigns[node.lineno] = (commented[-1], node.targets[0].id)
        self.blocks = {}                                 # function -> [(line, name of a block)]
        for function in (node for node in tree.body if isinstance(node, ast.FunctionDef)):
            self.blocks[function.name] = [
                (node.lineno, node.args[0].s) for node in ast.walk(function)
                if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'Block']
            for line, _ in self.blocks[function.name]:
                self.assigns.pop(self.first_line[line], None)

    def __enter__(self):
        self.before = sys.gettrace()
        sys.settrace(self.trace)
        return self

    def __exit__(self, *_):
        sys.settrace(self.before)

    def trace(self, frame, event, arg):
        """For sys.settrace: follows each function of the file, statement by statement."""
        if frame.f_code.co_filename != self.filename:
            return None
        running = None                                   # the statement, by its first line

        def step(frame, event, arg):
            nonlocal running
            now = self.first_line[frame.f_lineno] if event == 'line' else None
            if event in ('line', 'return') and now != running:
                if running in self.assigns:
                    line, name = self.assigns[running]
                    self.compare(line, frame.f_locals[name], frame.f_locals)
                running = now
            if event == 'return':
                for line, block in self.blocks.get(frame.f_code.co_name, []):
                    array, = [value for name, value in arg[1].items()
                              if name.endswith('/' + block)]
                    self.compare(line, array, frame.f_locals)
            return step
        return step

    def compare(self, line, array, names):
        if line not in self.comments:
            return
        expected = [names.get(dimension, dimension) for dimension in self.comments[line]]
        shape = [int(dimension) for dimension in array.shape][1:]
        self.checked.add(line)
        if shape != expected:
            self.faults.append('line %d says %s and makes %s' % (line, expected, shape))


def alexnet():
    alexnet_benchmark.inference(tf.zeros([2, 224, 224, 3]), fc=True)


def vgg16():
    for configuration in vgg16_benchmark.CONFIGURATIONS:
        with tf.Graph().as_default():
            vgg16_benchmark.inference_op(tf.zeros([2, 224, 224, 3]), tf.constant(1.0),
                                         configuration)


def inception_v3():
    inception_v3_benchmark.inception_v3(tf.zeros([2, 299, 299, 3]))


@slim.add_arg_scope
def unit_of_zeros(inputs, depth, depth_bottleneck, stride, outputs_collections=None, scope=None):
    batch, height, width, _ = inputs.shape.as_list()
    return tf.zeros([batch, -(-height // stride), -(-width // stride), depth])


def resnet_v2():
    """50 layers, for the lines that all depths share; of the other depths only the stack of
    blocks, without their convolutions, as tracing is slow."""
    inputs = tf.zeros([2, 224, 224, 3])
    with slim.arg_scope(resnet_v2_benchmark.resnet_arg_scope()):
        resnet_v2_benchmark.resnet_v2_50(inputs, 1000)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(resnet_v2_benchmark, 'bottleneck', unit_of_zeros)
            for depth in (101, 152, 200):
                resnet_v2_benchmark.DEPTHS[depth](inputs)


@pytest.mark.parametrize('script, build, at_least', [
    (alexnet_benchmark, alexnet, 12),                    # figure 6-5: 8 layers, 3 pools; flat
    (vgg16_benchmark, vgg16, 14),                        # figure 6-6: 5 stages, 5 pools, 3 FC; flat
    (inception_v3_benchmark, inception_v3, 18),          # table 6-1: 7 of the stem, 11 modules
    (resnet_v2_benchmark, resnet_v2, 16),                # figure 6-17: 4 blocks, 4 depths
])
def test_shape_comments_are_true(script, build, at_least):
    with open(script.__file__) as file:
        checker = Checker(file.read(), script.__file__)
    with tf.Graph().as_default(), checker:
        build()
    assert checker.faults == []
    assert checker.checked == set(checker.comments)      # every comment was reached
    assert len(checker.checked) >= at_least


@pytest.mark.parametrize('right, wrong, fault', [
    ('# 27 x 27 x 64', '# 28 x 27 x 64', 'says [28, 27, 64] and makes [27, 27, 64]'),
    ('# 56 x 56 x 64', '# 56 x 64', 'says [56, 64] and makes [56, 56, 64]'),
    ('# 9216', '# 4096', 'says [4096] and makes [9216]')])
def test_a_wrong_comment_is_found(right, wrong, fault):
    with open(alexnet_benchmark.__file__) as file:
        source = file.read()
    assert source.count(right + '\n') == 1
    source, module = source.replace(right + '\n', wrong + '\n'), {}
    checker = Checker(source, 'wrong.py')
    exec(compile(source, 'wrong.py', 'exec'), module)
    with tf.Graph().as_default(), checker:
        module['inference'](tf.zeros([2, 224, 224, 3]), fc=True)
    line = source[:source.index(wrong + '\n')].count('\n') + 1
    assert checker.faults == ['line %d %s' % (line, fault)]
