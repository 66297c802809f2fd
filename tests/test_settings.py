"""A variable that would make the record of a run wrong is refused, and named."""
import json

import pytest

import alexnet_benchmark
from common import tf1
from common.probes import settings

SHORT = ['--batch_size', '1', '--num_batches', '2', '--num_steps_burn_in', '0', '--device', 'cpu',
         '--forward_only']
PREFIX = 'TF_AUTO_MIXED_PRECISION_GRAPH_REWRITE_'


@pytest.mark.parametrize('name, value, effect', [
    ('TF_SYNC_ON_FINISH', '0', 'would not wait for the GPU'),
    ('TF_SYNC_ON_FINISH', 'false', 'would not wait for the GPU'),
    ('ONEDNN_DEFAULT_FPMATH_MODE', 'BF16', 'oneDNN would round float32 products'),
    ('ONEDNN_DEFAULT_FPMATH_MODE', 'any', 'oneDNN would round float32 products'),
    ('ONEDNN_DEFAULT_FPMATH_MODE', 'tf32', 'oneDNN would round float32 products'),
    ('DNNL_DEFAULT_FPMATH_MODE', 'f16', 'oneDNN would round float32 products'),
    ('TF_SET_ONEDNN_FPMATH_MODE', 'BF16', 'oneDNN would round float32 products'),
    ('NVIDIA_TF32_OVERRIDE', '1', 'would round float32 products to TF32'),
    ('TF_ENABLE_CUDNN_TENSOR_OP_MATH_FP32', '1', 'tensor cores would round float32 products'),
    ('TF_ENABLE_CUBLAS_TENSOR_OP_MATH_FP32', 'True', 'tensor cores would round float32 products'),
    ('TF_ENABLE_AUTO_MIXED_PRECISION', '1', 'compute in float16'),
    ('TF_ENABLE_AUTO_MIXED_PRECISION_GRAPH_REWRITE', 'true', 'compute in float16'),
    (PREFIX + 'LEVEL', 'UNSAFE_FORCE_ALL', 'round other operations'),
    (PREFIX + 'WHITELIST_ADD', 'Relu', 'round other operations'),
    (PREFIX + 'ALLOWLIST_ADD', 'Relu', 'round other operations'),
    ('TF_FP16_CONV_USE_FP32_COMPUTE', '0', 'summed in float16'),
    ('TF_FP16_MATMUL_USE_FP32_COMPUTE', 'FALSE', 'summed in float16'),
    ('TF_CONV2D_USE_FP16_ACCUMULATE', '1', 'summed in float16'),
    ('TF_XLA_FLAGS', '--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit', 'XLA would compile'),
    ('TF_XLA_FLAGS', '--tf_xla_cpu_global_jit --tf_xla_auto_jit=1', 'XLA would compile'),
    ('TF_XLA_FLAGS', ' --tf_xla_auto_jit=single-gpu(2)', 'XLA would compile'),
    ('TF_XLA_FLAGS', '--tf_xla_auto_jit=fusible', 'XLA would compile'),
    ('TF_XLA_FLAGS', '/etc/xla_flags', 'XLA would compile'),             # a file of flags
])
def test_what_is_refused(name, value, effect, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(tf1, 'NVIDIA_BUILD', False)
    monkeypatch.setenv(name, value)
    path = tmp_path / 'record.json'
    assert alexnet_benchmark.main(SHORT + ['--json', str(path)]) == 1
    captured = capsys.readouterr()
    sentence, = captured.err.splitlines()
    assert sentence.startswith('INVALID: %s=%s: ' % (name, value)) and effect in sentence
    assert ' Unset it.' in sentence
    assert 'sec / batch' not in captured.out
    record = json.loads(path.read_text())
    assert (record['status'], record['results']) == ('refused', [])
    assert 'INVALID: ' + record['faults'][0] == sentence
    assert record['environment']['variables'][name] == value


@pytest.mark.parametrize('name, value', [
    ('TF_SYNC_ON_FINISH', '1'), ('TF_SYNC_ON_FINISH', ''), ('ONEDNN_DEFAULT_FPMATH_MODE', 'STRICT'),
    ('TF_SET_ONEDNN_FPMATH_MODE', 'strict'), ('ONEDNN_DEFAULT_FPMATH_MODE', ''),
    ('NVIDIA_TF32_OVERRIDE', '0'), ('TF_ENABLE_AUTO_MIXED_PRECISION', '0'),
    ('TF_ENABLE_AUTO_MIXED_PRECISION_LOSS_SCALING', '1'), ('TF_FP16_CONV_USE_FP32_COMPUTE', '1'),
    (PREFIX + 'IGNORE_PERFORMANCE', '1'), ('TF_CONV2D_USE_FP16_ACCUMULATE', 'false'),
    ('TF_XLA_FLAGS', '--tf_xla_auto_jit=0'), ('TF_XLA_FLAGS', '--tf_xla_auto_jit=-1'),
    ('TF_XLA_FLAGS', '--tf_xla_cpu_global_jit'), ('TF_XLA_FLAGS', ''), ('ONEDNN_VERBOSE', '1')])
def test_what_is_not(name, value):
    assert settings.problem('float32', {name: value}) is None


@pytest.mark.parametrize('precision, value, is_refused', [
    ('float32', '0', False), ('float32', '1', True), ('mixed', '0', False), ('mixed', '1', True),
    ('tf32', '0', True), ('tf32', '1', False), ('float32', '2', True)])
def test_tf32_is_what_precision_says(precision, value, is_refused, monkeypatch):
    monkeypatch.setattr(tf1, 'NVIDIA_BUILD', False)
    fault = settings.problem(precision, {'NVIDIA_TF32_OVERRIDE': value})
    assert (fault is not None) == is_refused
    monkeypatch.setattr(tf1, 'NVIDIA_BUILD', True)       # which sets it as --precision says
    assert settings.problem(precision, {'NVIDIA_TF32_OVERRIDE': value}) is None


def test_it_is_refused_before_the_float32_baseline_runs(monkeypatch, capsys):
    monkeypatch.setenv('TF_XLA_FLAGS', '--tf_xla_auto_jit=2')
    assert alexnet_benchmark.main(SHORT + ['--xla']) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith('INVALID: TF_XLA_FLAGS=--tf_xla_auto_jit=2: ')
    assert 'baseline' not in captured.out


def test_a_strict_run_is_valid_and_recorded(monkeypatch, tmp_path):
    """Also beside flags that compile nothing."""
    monkeypatch.setenv('ONEDNN_DEFAULT_FPMATH_MODE', 'STRICT')
    monkeypatch.setenv('TF_XLA_FLAGS', '--tf_xla_cpu_global_jit')
    path = tmp_path / 'record.json'
    assert alexnet_benchmark.main(SHORT + ['--json', str(path)]) == 0
    record = json.loads(path.read_text())
    assert record['status'] == 'finished'
    assert record['environment']['variables']['ONEDNN_DEFAULT_FPMATH_MODE'] == 'STRICT'
