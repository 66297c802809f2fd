"""Which environment variables a record holds, which ones refuse a run, and which are secrets.

A record is published, so what looks like a secret is left out of it: by the words of its name, or
by a value that carries credentials. Old records are cleaned by the same rule when they are read.
"""
import re
from typing import Dict, List, Mapping, Optional, Sequence

# Prefixes of variables that can change speed. NOT_RECORDED match but cannot: those of Terraform and
# TensorFlow Datasets, and the addresses that horovodrun gives each process.
RECORDED = ('TF_', 'XLA_', 'NVIDIA_', 'CUDA_', 'CUBLAS', 'CUDNN_', 'ONEDNN_', 'DNNL_', 'OMP_',
            'KMP_', 'GOMP_', 'MKL_', 'OPENBLAS_', 'NCCL_', 'HOROVOD_', 'LD_PRELOAD', 'MALLOC_',
            'TCMALLOC_', 'GLIBC_TUNABLES')
NOT_RECORDED = ('TF_CLI_', 'TF_VAR_', 'TF_LOG', 'TF_DATA_DIR', 'HOROVOD_GLOO_RENDEZVOUS',
                'HOROVOD_HOSTNAME')

# Of a secret: a word of its name, in any case (TF_TOKEN_example_com, HOROVOD_SECRET_KEY, but not
# TF_KEYBOARD or TF_BYPASS); or its value: an address with user and password, or the beginning that
# NVIDIA, GitHub, Hugging Face, OpenAI, Amazon and JSON Web Tokens give their keys.
SECRET_WORD = re.compile(
    r'SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|AUTHORIZATION|^PASS$|'
    r'(?:KEY|TOKEN|AUTH|PWD|COOKIE|BEARER)S?$', re.IGNORECASE)
SECRET_VALUE = re.compile(
    r'://[^/\s@]*@|\b(?:(?:nvapi-|github_pat_|eyJ)[\w-]{20}|(?:gh[a-z]_|hf_|sk-|AKIA)[A-Za-z0-9]{16})')
HIDDEN = '...'                       # in place of a secret in a command

# (name, value in any case as a regular expression that must match completely, effect): a variable
# under which a run is refused, because its times would mean something else. Those that change the
# precision are not listed: common/probes/values.py measures what they do.
REFUSED = (
    ('TF_SYNC_ON_FINISH', '0|false',
     'session.run would not wait for the GPU, so only the hand-over would be timed'),
    # --tf_xla_cpu_global_jit compiles nothing by itself. A value without dashes names a file.
    ('TF_XLA_FLAGS', r'(?:.*\s)?--tf_xla_auto_jit=(?!0\s|0$|-).*|[^-\s].*',
     'XLA would compile runs without --xla too, the float32 baseline among them; use --xla'),
)


def recorded(environment: Mapping[str, str]) -> Dict[str, str]:
    """Returns the variables that can change speed, by name in alphabetical order, for a record."""
    return published({name: value for name, value in sorted(environment.items())
                      if name.startswith(RECORDED)})


def published(variables: Mapping[str, str]) -> Dict[str, str]:
    """Returns the variables of a record without the secrets that an older version recorded."""
    return {name: value for name, value in variables.items()
            if not name.startswith(NOT_RECORDED) and not is_secret(name, value)}


def is_secret(name: str, value: str) -> bool:
    """True if a variable, or a flag of a command, looks like a secret."""
    return bool(SECRET_VALUE.search(value)
                or any(map(SECRET_WORD.search, re.split('[^A-Za-z]+', name))))


def command(words: Sequence[str]) -> List[str]:
    """Returns the words of a command with HIDDEN in place of secrets: of the value of a flag such
    as --api_key, of an address with a password."""
    shown: List[str] = []
    flag = ''                                            # the word before, if its value follows
    for word in words:
        name, equals, value = word.partition('=') if '=' in word else (flag, '', word)
        shown.append((name + equals) * bool(equals) + HIDDEN if is_secret(name, value) else word)
        flag = word if word.startswith('-') and not equals else ''
    return shown


def refusal(environment: Mapping[str, str]) -> Optional[str]:
    """Returns why a run must not be timed under these environment variables; None if it may be."""
    for name, value in sorted(environment.items()):
        for refused, values, effect in REFUSED:
            if name == refused and re.fullmatch(values, value.strip(), re.IGNORECASE | re.DOTALL):
                return '%s=%s: %s. Unset it.' % (name, value, effect)
    return None
