"""How far each network scales, by calculation: the table of docs/scaling.md.

Gradients of S bytes are averaged over n GPUs by a ring allreduce, in which each GPU sends and
receives 2 (n - 1) / n S bytes (Patarasuk, Yuan, "Bandwidth optimal all-reduce algorithms for
clusters of workstations", 2009), over its slowest link, of B bytes / s. A step on one GPU takes T,
a third of it the forward pass. A step on n GPUs takes between
    T + 2 (n - 1) / n S / B                     communication does not overlap with computation
    T / 3 + max(2 T / 3, 2 (n - 1) / n S / B)   it begins with the backward pass and overlaps it
"""
from typing import List, NamedTuple, Optional

from common import networks, text
from suite import figures

FLOAT32 = 4                          # bytes
FORWARD = 1 / 3                      # of a step: the backward pass has twice the multiply-adds
NODE, BATCH = 8, 64                  # GPUs, and images on each

# Bytes / s in one direction, the peak. Ethernet: 10 and 100 Gbit / s. NVLink: links of the GPU,
# 20 GB / s each on the P100, 25 on the others (NVIDIA's white papers on Pascal GP100, Volta V100
# and Ampere A100).
ETHERNET = {'10 GbE': 1.25e9, '100 GbE': 12.5e9}
NVLINK = {'Tesla P100': 4 * 20e9, 'Tesla V100': 6 * 25e9, 'A100': 12 * 25e9}

# The speed of one GPU, from references/: forward-backward steps of TensorFlow, on GPUs without
# NVLink; images / s in training, in float32 or in TF32, with the largest batch.
STEPS = [('AlexNet, convolutions', 'GTX 1080', 'chapter', 'alexnet', 'lrn'),
         ('AlexNet, FC layers', 'GTX Titan X', 'soumith', 'alexnet', 'no_lrn_fc'),
         ('VGG-16', 'GTX 1080', 'chapter', 'vgg16', 'D')]
GPUS = [('Tesla P100', 'tensorflow_guide'), ('Tesla V100', 'lambda_tensorflow'),
        ('A100', 'lambda_tensorflow')]
NETWORKS = [('VGG-16', 'vgg16', 'D', 'D'), ('Inception V3', 'inception_v3', 'aux',
                                            'tf_cnn_benchmarks'),
            ('ResNet-50', 'resnet_v2', '50', 'v1_50'), ('ResNet-152', 'resnet_v2', '152', 'v1_152')]


class Case(NamedTuple):
    """A network on a GPU: the bytes of its gradients, images / s on one GPU, the links."""
    network: str
    gpu: str
    gradients: float
    images_per_s: float
    links: List[Optional[float]]         # bytes / s: of each ETHERNET, of NVLink or None


def cases() -> List[Case]:
    """Returns each network on each GPU for which references/ has a figure."""
    found = []
    for name, gpu, reference, benchmark, variant in STEPS:
        figure, = [one for one in _figures(reference, gpu, benchmark, variant, 'Forward-backward')
                   if one.work.fetch]
        found.append(Case(name, gpu, _gradients(benchmark, variant),
                          figure.work.batch_size / figure.mean_s, [*ETHERNET.values(), None]))
    for name, benchmark, variant, published in NETWORKS:
        for gpu, reference in GPUS:
            figure = max(_figures(reference, gpu, benchmark, published, 'Training with optimizer'),
                         key=lambda one: one.work.batch_size)
            found.append(Case(name, gpu, _gradients(benchmark, variant), figure.images_per_s,
                              [*ETHERNET.values(), NVLINK[gpu]]))
    return found


def reduction_s(gradients: float, gpus: float, bandwidth: float) -> float:
    """Returns the seconds of a ring allreduce of so many bytes, at `bandwidth` bytes / s."""
    return 2 * (gpus - 1) / gpus * gradients / bandwidth


def efficiency(step_s: float, communication_s: float, overlapped: bool) -> float:
    """Returns the time of a step on one GPU over that of a step on many."""
    if not overlapped:
        return step_s / (step_s + communication_s)
    return step_s / (FORWARD * step_s + max((1 - FORWARD) * step_s, communication_s))


def limits() -> str:
    """Returns the table of the efficiency of NODE GPUs with BATCH images each, without overlap and
    with it."""
    rows = [['network', 'GPU', 'gradients', 'images / s alone', *ETHERNET, 'NVLink']]
    for case in cases():
        step_s = BATCH / case.images_per_s
        cells = []
        for bandwidth in filter(None, case.links):
            communication_s = reduction_s(case.gradients, NODE, bandwidth)
            cells.append('%.0f to %.0f %%' % tuple(
                100 * efficiency(step_s, communication_s, overlapped)
                for overlapped in (False, True)))
        rows.append([case.network, case.gpu, '%.0f MB' % (case.gradients / 1e6),
                     '%.0f' % case.images_per_s] + cells + [''] * (len(case.links) - len(cells)))
    return '\n'.join(text.markdown(rows))


def _gradients(benchmark, variant):
    return FLOAT32 * networks.NETWORKS[benchmark].variants[variant].parameters


def _figures(reference, gpu, *work):
    """The figures of a network, variant and pass on a GPU in a reference, without float16."""
    return [figure for figure in figures.load(reference).figures
            if figure.work[:3] == work and gpu in figure.published['hardware']
            and figure.work.precision in (figures.FLOAT32, 'tf32')]
