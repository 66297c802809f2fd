"""Jobs of several processes, by Horovod: data-parallel steps of the same graphs.

    horovodrun -np 4 python resnet_v2_benchmark.py

A process started by horovodrun or mpirun is a rank of a job; a run of one process does not import
Horovod. Each rank has its own GPU and its own images, and the variables of rank 0's model. In each
step a rank computes its gradients, and allreduces give every rank their average.

    launch.py      reads the rank of this process from the launcher, and chooses its GPU
    join.py        imports Horovod, waits for all ranks, checks that they run the same
    liveness.py    notices a rank that is lost
    exchange.py    exchanges durations and findings between the steps

The measurements of a job are in common/probes/ranks.py.
"""
