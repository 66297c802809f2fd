"""Refuses a run if an environment variable would make its record wrong.

TensorFlow and the libraries below it read these variables themselves. Most of them round float32
products to a shorter format, and the record would still say float32.
"""
import os
import re
from typing import Mapping, NamedTuple, Optional

from common import tf1
from common.probes import Probe
from common.stop import Stop

ON, OFF = r'(?!(?:0|false)$).+', r'0|false'              # as TensorFlow reads a boolean


class Setting(NamedTuple):
    """A variable and its effect. `name`, `value` (in any case) and `precision`, for which the run
    is refused, are regular expressions that must match completely."""
    name: str
    value: str
    effect: str
    precision: str = r'.*'


SETTINGS = (
    Setting('TF_SYNC_ON_FINISH', OFF, 'session.run would not wait for the GPU, and the time of a '
            'step would be that of handing it over'),
    # oneDNN: STRICT, BF16, F16, TF32 or ANY (doc/programming_model/attributes_fpmath_mode.md).
    Setting('(?:ONEDNN|DNNL)_DEFAULT_FPMATH_MODE|TF_SET_ONEDNN_FPMATH_MODE', r'(?!strict$).+',
            'oneDNN would round float32 products to a shorter format'),
    Setting('NVIDIA_TF32_OVERRIDE', r'(?!0$).+', 'cuBLAS and cuDNN would round float32 products to '
            'TF32, which --precision tf32 asks for', 'float32|mixed'),
    Setting('NVIDIA_TF32_OVERRIDE', '0', 'cuBLAS and cuDNN would not use TF32', 'tf32'),
    # NVIDIA's builds of TensorFlow, and TensorFlow 1.15's cuDNN and cuBLAS on Volta and Turing.
    Setting('TF_ENABLE_(?:CUDNN|CUBLAS)_TENSOR_OP_MATH_FP32', ON, 'tensor cores would round '
            'float32 products to float16'),
    Setting('TF_ENABLE_AUTO_MIXED_PRECISION(?:_GRAPH_REWRITE)?', ON, 'TensorFlow would compute in '
            'float16 what is called float32; --precision mixed asks for it'),
    Setting(r'TF_AUTO_MIXED_PRECISION_GRAPH_REWRITE_(?:LEVEL|\w+LIST_(?:ADD|REMOVE))', '.+',
            'auto mixed precision would round other operations than it does by itself'),
    Setting('TF_FP16_(?:CONV|MATMUL|RNN)_USE_FP32_COMPUTE', OFF, 'float16 products would be summed '
            'in float16'),
    Setting('TF_CONV2D_USE_FP16_ACCUMULATE', ON, 'float16 products would be summed in float16'),
    # --tf_xla_cpu_global_jit compiles nothing by itself. A value without dashes names a file.
    Setting('TF_XLA_FLAGS', r'(?:.*\s)?--tf_xla_auto_jit=(?!0\s|0$|-).*|[^-\s].*', 'XLA would '
            'compile the graph in runs without --xla too, the float32 baseline among them; use '
            '--xla instead'),
)


class Settings(Probe):
    """Refuses a run because of a variable. It is the first probe, because the float32 baseline run
    would inherit the same variables."""

    def __enter__(self) -> 'Settings':
        fault = problem(self.run.args.precision, os.environ)
        if fault:
            raise Stop(fault, 1, 'refused')
        return self


def problem(precision: str, variables: Mapping[str, str]) -> Optional[str]:
    """Returns why a run with --precision PRECISION must not be timed under these environment
    variables; None if it may be."""
    for name, value in sorted(variables.items()):
        if name == 'NVIDIA_TF32_OVERRIDE' and tf1.NVIDIA_BUILD:
            continue                                     # set by tf1.allow_tf32
        for setting in SETTINGS:
            if (re.fullmatch(setting.name, name) and re.fullmatch(setting.precision, precision)
                    and re.fullmatch(setting.value, value.strip(), re.IGNORECASE | re.DOTALL)):
                return '%s=%s: %s. Unset it.' % (name, value, setting.effect)
    return None
