"""Where each network stops scaling, by calculation: the tables of docs/scaling.md.

    python -m suite.scaling_model [--write docs/scaling.md]

Gradients of S bytes are averaged over n GPUs by a ring, in which each GPU sends and receives
2 (n - 1) / n S bytes (Patarasuk, Yuan, "Bandwidth optimal all-reduce algorithms for clusters of
workstations", 2009), over its slowest link, of B bytes / s. A step of one GPU takes T, a third of
it the forward pass. What the step of n GPUs takes is between
    T + 2 (n - 1) / n S / B                     nothing overlaps
    T / 3 + max(2 T / 3, 2 (n - 1) / n S / B)   the reduction begins with the backward pass
"""
import argparse
import json
import math
import os
import sys
from typing import List, NamedTuple, Optional

from common import networks
from suite import compare

FLOAT32 = 4                          # bytes
FORWARD = 1 / 3                      # multiply-adds of the backward pass: twice the forward's
NODE, BATCH = 8, 64                  # GPUs, and images of each
TOTAL = 256                          # images of all GPUs: VGG's batch (section 3.1 of the paper)
GOOD = 0.9                           # efficiency

# Bytes / s in one direction, the peak. Ethernet: 10 and 100 Gbit / s. NVLink: links of the GPU,
# 20 GB / s each on the P100, 25 on the others (NVIDIA's white papers on Pascal GP100, Volta V100
# and Ampere A100). PCIe 3.0 x16: 8 GT / s, 16 lanes, 128 of 130 bits.
ETHERNET = {'10 GbE': 1.25e9, '100 GbE': 12.5e9}
NVLINK = {'Tesla P100': 4 * 20e9, 'Tesla V100': 6 * 25e9, 'A100': 12 * 25e9}
PCIE = 8e9 * 16 * 128 / 130 / 8

# The speed of one GPU, from references/: forward-backward steps, on GPUs without NVLink; images / s
# in training.
STEPS = [('AlexNet, convolutions', 'GTX 1080', 'chapter', 'alexnet', 'lrn'),
         ('AlexNet, FC layers', 'GTX Titan X', 'soumith', 'alexnet', 'no_lrn_fc'),
         ('VGG-16', 'GTX 1080', 'chapter', 'vgg16', 'D')]
GPUS = [('Tesla P100', 'tensorflow_guide', 64), ('Tesla V100', 'lambda_v100', None),
        ('A100', 'lambda_a100', None)]
NETWORKS = [('VGG-16', 'vgg16', 'D', 'D'), ('Inception V3', 'inception_v3', 'aux',
                                            'tf_cnn_benchmarks'),
            ('ResNet-50', 'resnet_v2', '50', 'v1_50'), ('ResNet-152', 'resnet_v2', '152', 'v1_152')]

# VGG on four GPUs: Simonyan, Zisserman 2014, sections 3.1 and 3.3: 370,000 iterations of 256 images
# in two to three weeks, 3.75 times the speed of one GPU. Two weeks are taken for the smallest
# network, three for the largest.
VGG_ITERATIONS, WEEK_S, VGG_SPEEDUP, VGG_GPUS = 370e3, 7 * 24 * 3600, 3.75, 4


class Case(NamedTuple):
    """A network on a GPU: bytes of its gradients, images / s of the GPU alone, its links."""
    network: str
    gpu: str
    gradients: float
    images_per_s: float
    links: List[Optional[float]]         # bytes / s: ETHERNET's, NVLink


def cases() -> List[Case]:
    """Returns the networks on the GPUs of references/ that have a figure for them."""
    found = []
    for name, gpu, reference, benchmark, variant in STEPS:
        figure, = [one for one in _figures(reference)
                   if (one['benchmark'], one['variant'], one['info_string'])
                   == (benchmark, variant, 'Forward-backward')]
        found.append(Case(name, gpu, _gradients(benchmark, variant),
                          figure['batch_size'] / figure['mean_s'], [*ETHERNET.values(), None]))
    for name, benchmark, variant, published in NETWORKS:
        for gpu, reference, batch_size in GPUS:
            figure, = [one for one in _figures(reference)
                       if (one['benchmark'], one['variant'], one['batch_size'])
                       == (benchmark, published, batch_size)]
            found.append(Case(name, gpu, _gradients(benchmark, variant), figure['images_per_s'],
                              [*ETHERNET.values(), NVLINK[gpu]]))
    return found


def reduction_s(gradients: float, gpus: float, bandwidth: float) -> float:
    """Seconds of a ring allreduce."""
    return 2 * (gpus - 1) / gpus * gradients / bandwidth


def efficiency(step_s: float, communication_s: float, overlapped: bool) -> float:
    """The step of one GPU over the step of many."""
    if not overlapped:
        return step_s / (step_s + communication_s)
    return step_s / (FORWARD * step_s + max((1 - FORWARD) * step_s, communication_s))


def smallest_batch(case: Case, bandwidth: float, overlapped: bool) -> int:
    """Images of a GPU from which on NODE GPUs have an efficiency of GOOD."""
    communication_s = reduction_s(case.gradients, NODE, bandwidth)
    slack = 1 / GOOD - FORWARD if overlapped else 1 / GOOD - 1
    return math.ceil(case.images_per_s * communication_s / slack)


def most_gpus(case: Case, bandwidth: float) -> int:
    """Of TOTAL images that are shared out, the number of GPUs from which on the gradients take
    longer than the images; TOTAL where they never do."""
    for gpus in range(2, TOTAL):
        if TOTAL / gpus / case.images_per_s < reduction_s(case.gradients, gpus, bandwidth):
            return gpus
    return TOTAL


def limits() -> str:
    """The table of the efficiency of NODE GPUs with BATCH images each."""
    def cell(case, bandwidth):
        step_s = BATCH / case.images_per_s
        communication_s = reduction_s(case.gradients, NODE, bandwidth)
        return '%.0f to %.0f %%' % tuple(100 * efficiency(step_s, communication_s, overlapped)
                                         for overlapped in (False, True))
    return _table(cell)


def stops() -> str:
    """The table of where it stops: the smallest batch of a GPU, and the most GPUs for a batch."""
    def cell(case, bandwidth):
        gpus = most_gpus(case, bandwidth)
        return '%d to %d images; %s GPUs' % (
            smallest_batch(case, bandwidth, True), smallest_batch(case, bandwidth, False),
            gpus if gpus < TOTAL else 'all')
    return _table(cell)


def published() -> str:
    """The table that holds the calculation against VGG's 3.75 times on four GPUs."""
    lines = ['| network | step of 4 GPUs | gradients | ring | all through one GPU | published |',
             '| --- | --- | --- | --- | --- | --- |']
    for variant, weeks in ('A', 2), ('E', 3):
        step_s, gradients = weeks * WEEK_S / VGG_ITERATIONS, _gradients('vgg16', variant)
        ring_s = reduction_s(gradients, VGG_GPUS, PCIE)
        gathered_s = 2 * (VGG_GPUS - 1) * gradients / PCIE
        lines.append('| VGG %s, %d weeks | %.2f s | %.0f MB | %.2f | %.2f | %.2f |' % (
            variant, weeks, step_s, gradients / 1e6, *(VGG_GPUS * (1 - seconds / step_s)
                                                       for seconds in (ring_s, gathered_s)),
            VGG_SPEEDUP))
    return '\n'.join(lines)


def _gradients(benchmark, variant):
    return FLOAT32 * networks.NETWORKS[benchmark].variants[variant].parameters


def _figures(name):
    with open(os.path.join(compare.REFERENCES, name + '.json'), encoding='utf-8') as file:
        return json.load(file)['figures']


def _table(cell):
    titles = ['network', 'GPU', 'gradients', 'images / s alone', *ETHERNET, 'NVLink']
    rows = [titles, ['---'] * len(titles)]
    for case in cases():
        rows.append([case.network, case.gpu, '%.0f MB' % (case.gradients / 1e6),
                     '%.0f' % case.images_per_s] + [
                         cell(case, bandwidth) if bandwidth else '' for bandwidth in case.links])
    return '\n'.join('| %s |' % ' | '.join(row) for row in rows)


TABLES = {'limits': limits, 'stops': stops, 'published': published}


def main(argv=None) -> int:
    """Prints the tables, or writes them where a page has their markers; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--write', metavar='PAGE', help='a Markdown page')
    args = parser.parse_args(argv)
    if not args.write:
        print('\n\n'.join(make() for make in TABLES.values()))
        return 0
    with open(args.write, encoding='utf-8') as file:
        page = file.read()
    for name, make in TABLES.items():
        page = compare.replace_table(page, name, make())
    with open(args.write, 'w', encoding='utf-8') as file:
        file.write(page)
    return 0


if __name__ == '__main__':
    sys.exit(main())
