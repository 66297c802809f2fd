"""Records of Horovod jobs, made from those of plain runs."""
import copy


def job(record, size, efficiency=0.9, communication=0.1):
    """The record as that of a job: one process alone is as fast as the plain run; the forward pass
    reduces nothing. Its last rank is a straggler."""
    data = copy.deepcopy(record)
    data['processes'] = {'size': size, 'hosts': {'host1': size}, 'horovod': '0.28.1',
                         'backend': 'gloo'}
    for entry in data['results']:
        alone = {key: entry[key] for key in ('mean_s', 'sd_s', 'samples_s')}
        entry['samples_s'] = [s / efficiency for s in entry['samples_s']]
        entry['mean_s'] /= efficiency
        backward = entry['info_string'] == 'Forward-backward'
        times = dict(alone, ci95_s=None)
        entry['scaling'] = {
            'processes': size, 'images_per_s': size * entry['batch_size'] / entry['mean_s'],
            'alone': times, 'without_allreduce': times if backward else None,
            'efficiency': efficiency, 'communication_share': communication if backward else None,
            'reduced_bytes': 0, 'allreduces': {'executed': 0, 'graph': 0},
            'ranks': [{'rank': rank, 'host': 'host1', 'device': 'GPU X', 'mean_s': 1,
                       'own_mean_s': 1, 'samples_s': []} for rank in range(size)]}
        entry['warnings'].append({'kind': 'straggler', 'text':
                                  'rank %d on host1 (GPU X) is a straggler' % (size - 1)})
    return data
