"""VGG16's convolutions in PyTorch: our features are timed and checked against them.

As torchvision has them, with the switches that make them fastest: channels last, ReLU
in place, no gradient of the weights, no graph where no gradient is asked for. The
weights are the same as ours.

Source: Simonyan and Zisserman (2014), as torchvision lays it out.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from jaxart import vgg


class Twin:
    """The network up to a layer.

    Args:
        weights: from `vgg.load`.
        layer: the last one, one of ours such as "relu3_3".
    """

    def __init__(self, weights: vgg.Weights, layer: str):
        modules: list[nn.Module] = []
        convolutions = iter(weights.convolutions)
        for row in vgg.LAYERS:
            if row.kernel == vgg.POOL:
                modules.append(nn.MaxPool2d(2))
            else:
                modules += [_convolution(next(convolutions)), nn.ReLU(inplace=True)]
            if row.name == layer:
                break
        network = nn.Sequential(*modules).requires_grad_(False)
        self._network = network.to(memory_format=torch.channels_last)
        normal = torch.tensor((vgg.MEAN, vgg.STD))
        self._mean, self._deviation = normal[:, None, :, None, None]

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Return the layer's features of images as `to_images` returns them."""
        with torch.inference_mode():
            return self._network((images - self._mean) / self._deviation)

    def gradient(self, images: torch.Tensor) -> torch.Tensor:
        """Return the gradient in the images of the sum of squared features."""
        images = images.detach().requires_grad_(True)
        features = self._network((images - self._mean) / self._deviation)
        (gradient,) = torch.autograd.grad((features**2).sum(), images)
        return gradient


def to_images(images: Float[np.ndarray, "b h w 3"]) -> torch.Tensor:
    """Return sRGB in [0, 1] as the network takes it: channels last in memory."""
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def _convolution(weights: vgg.Convolution) -> nn.Conv2d:
    kernel = torch.from_numpy(np.array(weights.kernel)).permute(3, 2, 0, 1)
    convolution = nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding=1)
    convolution.weight.data = kernel.contiguous()
    convolution.bias.data = torch.from_numpy(np.array(weights.bias))
    return convolution
