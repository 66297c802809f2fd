"""Which environment variables are recorded, refused, or left out because they are secrets."""
import json
import os

import pytest

import alexnet_benchmark
from common import record, variables
from suite import records

SHORT = ['--batch_size', '1', '--num_batches', '2', '--num_steps_burn_in', '0', '--device', 'cpu',
         '--forward_only']
RECORD = os.path.join(record.ROOT, 'results', 'cpu-2-cores', 'alexnet.json')


@pytest.mark.parametrize('name, value, is_recorded', [
    ('TF_NUM_INTRAOP_THREADS', '1', True), ('OMP_NUM_THREADS', '1', True),
    ('TF_KEYBOARD', '1', True), ('TF_BYPASS', '1', True), ('TF_UNAUTHENTICATED', '1', True),
    ('LD_PRELOAD', '/usr/lib/libjemalloc.so.2', True), ('NCCL_SOCKET_IFNAME', 'eth0', True),
    ('NVIDIA_REQUIRE_CUDA', 'cuda>=12.0 brand=tesla,driver>=470', True),
    ('TF_CONFIG', '{"cluster": {"worker": ["http://a:1", "b:2"]}}', True),
    ('HOME', '/root', False), ('TF_LOG', '1', False), ('HOROVOD_HOSTNAME', 'a', False),
    ('TF_VAR_region', 'x', False), ('TF_VAR_db_password', 'x', False), ('TF_CLI_ARGS', 'x', False),
    ('NVIDIA_API_KEY', 'x', False), ('NVIDIA_APIKEY', 'x', False), ('NGC_API_KEY', 'x', False),
    ('NVIDIA_NGC_KEYS', 'x', False), ('TF_TOKEN_app_terraform_io', 'x', False),
    ('TF_HTTP_PASSWORD', 'x', False), ('TF_DB_PASS', 'x', False), ('NVIDIA_OAUTH', 'x', False),
    ('CUDA_CREDENTIALS', 'x', False), ('HOROVOD_SECRET_KEY', 'x', False),
    ('TF_HTTP_ADDRESS', 'https://ann:hunter2@example.com/state', False),
    ('TF_HTTP_ADDRESS', 'https://0123456789abcdef@example.com', False),
    ('TF_HTTP_ADDRESS', 'https://example.com/@/state', True),
    ('NVIDIA_X', 'nvapi-0123456789-abcdef_012', False), ('TF_X', 'ghp_0123456789abcdef', False),
    ('LD_PRELOAD', '/data/hf_cache_of_the_team/task-0123456789abcdefg.so', True)])
def test_what_a_record_holds(name, value, is_recorded):
    assert variables.recorded({name: value}) == ({name: value} if is_recorded else {})


def test_what_changes_the_speed_of_a_library_is_recorded():
    names = ('ONEDNN_MAX_CPU_ISA DNNL_VERBOSE KMP_AFFINITY GOMP_SPINCOUNT MALLOC_ARENA_MAX '
             'OPENBLAS_NUM_THREADS CUBLASLT_LOG_LEVEL CUBLAS_WORKSPACE_CONFIG CUDNN_LOGINFO_DBG '
             'GLIBC_TUNABLES').split()
    assert sorted(variables.recorded(dict.fromkeys(names, ''))) == sorted(names)


@pytest.mark.parametrize('words, shown', [
    ('a.py --json a.json --depth 50', None), ('a.py --json=keys/token', None),
    ('a.py --api_key x --json a', 'a.py --api_key ... --json a'),
    ('a.py --api-key=x== b', 'a.py --api-key=... b'), ('a.py TOKEN=x', 'a.py TOKEN=...'),
    ('a.py https://ann:x@example.com b', 'a.py ... b'),
    ('a.py --url=https://ann:x@example.com', 'a.py --url=...')])
def test_what_a_command_shows(words, shown):
    assert ' '.join(variables.command(words.split())) == (shown or words)


def test_secrets_of_an_older_record_are_not_read(tmp_path):
    with open(RECORD) as file:
        old = json.load(file)
    old['environment']['variables'].update(
        NVIDIA_API_KEY='hunter2', TF_VAR_a='hunter2', OMP_NUM_THREADS='1', FUTURE='1')
    old['environment']['command'] += ['--password', 'hunter2']
    path = tmp_path / 'old.json'
    path.write_text(json.dumps(old))
    read = records.load(str(path))
    assert 'hunter2' not in json.dumps(read)
    assert {'OMP_NUM_THREADS', 'FUTURE'} < set(read['environment']['variables'])


@pytest.mark.parametrize('name, value, effect', [
    ('TF_SYNC_ON_FINISH', '0', 'would not wait for the GPU'),
    ('TF_SYNC_ON_FINISH', 'false', 'would not wait for the GPU'),
    ('TF_XLA_FLAGS', '--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit', 'XLA would compile'),
    ('TF_XLA_FLAGS', '--tf_xla_cpu_global_jit --tf_xla_auto_jit=1', 'XLA would compile'),
    ('TF_XLA_FLAGS', ' --tf_xla_auto_jit=single-gpu(2)', 'XLA would compile'),
    ('TF_XLA_FLAGS', '--tf_xla_auto_jit=fusible', 'XLA would compile'),
    ('TF_XLA_FLAGS', '/etc/xla_flags', 'XLA would compile'),             # a file of flags
])
def test_what_is_refused(name, value, effect, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv(name, value)
    monkeypatch.setenv('NVIDIA_API_KEY', 'hunter2')
    path = tmp_path / 'record.json'
    assert alexnet_benchmark.main(SHORT + ['--json', str(path)]) == 1
    captured = capsys.readouterr()
    sentence, = captured.err.splitlines()
    assert sentence.startswith('INVALID: %s=%s: ' % (name, value)) and effect in sentence
    assert ' Unset it.' in sentence
    assert 'sec / batch' not in captured.out
    log = json.loads(path.read_text())
    assert (log['status'], log['results']) == ('refused', [])
    assert 'INVALID: ' + log['faults'][0] == sentence
    assert log['environment']['variables'][name] == value
    assert 'hunter2' not in path.read_text()


@pytest.mark.parametrize('name, value', [
    ('TF_SYNC_ON_FINISH', '1'), ('TF_SYNC_ON_FINISH', ''), ('ONEDNN_DEFAULT_FPMATH_MODE', 'BF16'),
    ('TF_XLA_FLAGS', '--tf_xla_auto_jit=0'), ('TF_XLA_FLAGS', '--tf_xla_auto_jit=-1'),
    ('TF_XLA_FLAGS', '--tf_xla_cpu_global_jit'), ('TF_XLA_FLAGS', ''), ('ONEDNN_VERBOSE', '1')])
def test_what_is_not(name, value):
    """What changes the precision is measured: tests/test_values.py."""
    assert variables.refusal({name: value}) is None


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
    log = json.loads(path.read_text())
    assert log['status'] == 'finished'
    assert log['environment']['variables']['ONEDNN_DEFAULT_FPMATH_MODE'] == 'STRICT'
