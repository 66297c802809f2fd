"""The contenders: our four networks, and the same networks in other libraries.

This module does not import TensorFlow or PyTorch.
"""
from typing import Any, Dict, NamedTuple, Optional, Tuple

# Our network, and the control: our network again, in processes of its own.
OURS, CONTROL = 'ours', 'ours again'
SLIM, KERAS = 'slim', 'keras'
PEERS = SLIM, KERAS, 'torchvision', 'timm'


class Match(NamedTuple):
    """One of our networks, and its counterparts in the libraries.

    variant: the variant of ours that the libraries have, as in common.networks.
    random_images: whether the images are drawn in every step, as in the chapter.
    keras: the name in tf.keras.applications; None if it has no such network.
    torch: (library, name in it, options). torchvision has no ResNet V2.
    """
    variant: str
    random_images: bool
    keras: Optional[str]
    torch: Tuple[str, str, Dict[str, Any]]


MATCHES = {
    'alexnet':      Match('no_lrn_fc', False, None, ('torchvision', 'alexnet', {})),
    'vgg16':        Match('D', False, 'VGG16', ('torchvision', 'vgg16', {})),
    'inception_v3': Match('aux', True, 'InceptionV3',
                          ('torchvision', 'inception_v3', {'init_weights': False})),
    'resnet_v2':    Match('152', True, 'ResNet152V2', ('timm', 'resnetv2_152', {})),
}
