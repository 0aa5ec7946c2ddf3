"""The paper's DCGAN in PyTorch: our training update is measured and checked against it.

Written as users of pytorch/examples write it, with the switches that make it fastest:
the fake batch is made once, D's parameters are frozen in G's turn (no weight gradient
of D is computed), gradients are set to None, the optimizer is fused, the memory format
may be channels last, and both networks may go through `torch.compile`.

Run as a script it writes the reference of `tests/gan/test_reference.py`: initial
weights, inputs, and the losses of ten updates::

    python benchmarks/peers/torch_dcgan.py --write_reference=tests/gan/reference.npz

Source: Beyers and Loane, "Generating Novel Works of Art Using Generative Adversarial
Networks", section 3; pytorch/examples, dcgan/main.py, for the order of an update.
Deviation: the logit stays a logit (`BCEWithLogitsLoss`), and G learns from the fake
batch that D has learned from; pytorch/examples does the latter too.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from absl import app, flags
from torch import nn


LEAK = 0.2  # slope of the leaky ReLU below zero
LATENT = 100  # numbers drawn for an image
KERNEL = {"kernel_size": 4, "stride": 2, "padding": 1, "bias": False}
ADAM = {"lr": 1e-4, "betas": (0.5, 0.999), "eps": 1e-8}

# The reference: small enough to be committed, large enough that every axis differs.
REFERENCE = {"width": 4, "latent": 24, "batch_size": 8, "updates": 10, "seed": 0}
PICTURE = 96  # side of the picture that the reference's real batches are cut from


class Twin(NamedTuple):
    """Both players and their optimizers."""

    generator: nn.Module
    discriminator: nn.Module
    generator_optimizer: torch.optim.Optimizer
    discriminator_optimizer: torch.optim.Optimizer


def generator(width: int, latent: int = LATENT) -> nn.Sequential:
    """Return the network from `(b, latent, 1, 1)` numbers to images in [-1, 1]."""
    widths = [8 * width, 4 * width, 2 * width, width]
    layers = [nn.ConvTranspose2d(latent, widths[0], 4, stride=1, bias=False)]
    for i, o in pairwise([*widths, 3]):
        layers += [
            nn.BatchNorm2d(i),
            nn.LeakyReLU(LEAK, inplace=True),
            nn.ConvTranspose2d(i, o, **KERNEL),
        ]
    return nn.Sequential(*layers, nn.Tanh())


def discriminator(width: int) -> nn.Sequential:
    """Return the network from images in [-1, 1] to `(b, 1)` logits."""
    widths = [width, 2 * width, 4 * width, 8 * width]
    layers = [nn.Conv2d(3, width, **KERNEL), nn.LeakyReLU(LEAK, inplace=True)]
    for i, o in pairwise(widths):
        layers += [
            nn.Conv2d(i, o, **KERNEL),
            nn.BatchNorm2d(o),
            nn.LeakyReLU(LEAK, inplace=True),
        ]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * 4 * 4, 1))


def twin(
    width: int,
    *,
    latent: int = LATENT,
    channels_last: bool = False,
    compiled: bool = False,
    device: str = "cpu",
) -> Twin:
    """Return both players with DCGAN's initial weights, and their optimizers.

    Args:
        width: channels of the largest map inside; the paper: 128.
        latent: numbers drawn for an image; the paper: 100.
        channels_last: keep the channels of a pixel together in memory.
        compiled: put both networks through `torch.compile`. What cannot be compiled
            shows at the first update.
        device: where the weights are.
    """
    networks = [generator(width, latent), discriminator(width)]
    for network in networks:
        network.apply(_initialise)
        network.to(device, memory_format=_layout(channels_last))
    optimizers = [
        torch.optim.Adam(network.parameters(), **ADAM, fused=True)
        for network in networks
    ]
    if compiled:
        networks = [torch.compile(network, fullgraph=True) for network in networks]
    return Twin(*networks, *optimizers)


def update(
    players: Twin, real: torch.Tensor, z: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Update both players in place; return D's and G's losses.

    Args:
        players: as `twin` returned them.
        real: images in [-1, 1] of shape `(b, 3, 64, 64)`.
        z: N(0, 1) numbers of shape `(b, latent, 1, 1)`.
    """
    g, d, g_optimizer, d_optimizer = players
    loss = nn.functional.binary_cross_entropy_with_logits
    ones = torch.ones(len(real), 1, device=real.device)
    fake = g(z)

    d.requires_grad_(True)
    d_optimizer.zero_grad(set_to_none=True)
    d_loss = loss(d(real), ones) + loss(d(fake.detach()), torch.zeros_like(ones))
    d_loss.backward()
    d_optimizer.step()

    d.requires_grad_(False)
    g_optimizer.zero_grad(set_to_none=True)
    g_loss = loss(d(fake), ones)
    g_loss.backward()
    g_optimizer.step()
    return d_loss.detach(), g_loss.detach()


def to_images(pixels: torch.Tensor, *, channels_last: bool = False) -> torch.Tensor:
    """Return uint8 pixels `(b, h, w, 3)` as images in [-1, 1], `(b, 3, h, w)`."""
    images = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1.0
    return images.contiguous(memory_format=_layout(channels_last))


def write_reference(path: str) -> None:
    """Write initial weights, inputs, and what ten updates made of them.

    Arrays are named and laid out as in `jaxart.gan.update.TrainState`. Real batches are
    cut from one noisy picture, at the stored corners, to keep the file small.
    """
    width, latent = REFERENCE["width"], REFERENCE["latent"]
    updates, batch_size = REFERENCE["updates"], REFERENCE["batch_size"]
    torch.manual_seed(REFERENCE["seed"])
    rng = np.random.default_rng(REFERENCE["seed"])
    players = twin(width, latent=latent)
    start = _values(players)
    picture = _picture(rng)
    corners = rng.integers(PICTURE - 64 + 1, size=(updates, batch_size, 2))
    z = torch.randn(updates, batch_size, latent)
    losses = []
    for step in range(updates):
        crops = np.stack([picture[y : y + 64, x : x + 64] for y, x in corners[step]])
        real = to_images(torch.from_numpy(crops))
        losses.append(update(players, real, z[step, :, :, None, None]))
    d_losses, g_losses = np.array(losses).T
    np.savez_compressed(
        path,
        **{f"start/{name}": value for name, value in start.items()},
        **{
            f"end/{name}": value
            for name, value in _values(players).items()
            if name.startswith("generator/batch_stats/")
        },
        picture=picture,
        corners=corners.astype(np.uint8),
        z=z.numpy(),
        discriminator_losses=d_losses,
        generator_losses=g_losses,
        torch_version=torch.__version__,
    )


def _layout(channels_last: bool) -> torch.memory_format:
    return torch.channels_last if channels_last else torch.contiguous_format


def _initialise(layer: nn.Module) -> None:
    """DCGAN's initial weights: N(0, 0.02), and N(1, 0.02) for batch norm's scales."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(layer.weight, 0.0, 0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    if isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)
        nn.init.zeros_(layer.bias)


def _picture(rng: np.random.Generator) -> np.ndarray:
    """Return pixels with coarse blocks of colour under fine noise."""
    blocks = rng.integers(40, 216, size=(PICTURE // 12, PICTURE // 12, 3))
    noise = rng.integers(-40, 40, size=(PICTURE, PICTURE, 3))
    return (blocks.repeat(12, axis=0).repeat(12, axis=1) + noise).astype(np.uint8)


def _values(players: Twin) -> dict[str, np.ndarray]:
    """Return all weights and statistics as our players name them and lay them out."""
    layers = [layer for layer in players.generator if list(layer.parameters())]
    values = {
        # Of a single pixel a transposed convolution is a matrix product.
        "generator/params/seed": layers[0].weight.permute(0, 2, 3, 1)
    }
    for stage, (norm, conv) in enumerate(zip(layers[1::2], layers[2::2], strict=True)):
        values |= _norm_values("generator", stage, norm)
        kernel = conv.weight.permute(2, 3, 1, 0)
        values[f"generator/params/stages/{stage}/kernel"] = kernel

    layers = [layer for layer in players.discriminator if list(layer.parameters())]
    *layers, score = layers
    convs = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    norms = [layer for layer in layers if isinstance(layer, nn.BatchNorm2d)]
    for stage, conv in enumerate(convs):
        kernel = conv.weight.permute(2, 3, 1, 0)
        values[f"discriminator/params/stages/{stage}/kernel"] = kernel
    for stage, norm in enumerate(norms, start=1):
        values |= _norm_values("discriminator", stage, norm)
    # Torch flattens channel by channel, we pixel by pixel.
    kernel = score.weight.reshape(-1, 4, 4).permute(1, 2, 0).reshape(-1, 1)
    values["discriminator/params/score/kernel"] = kernel
    values["discriminator/params/score/bias"] = score.bias
    return {
        name: value.detach().numpy().copy(order="C") for name, value in values.items()
    }


def _norm_values(player: str, stage: int, norm: nn.Module) -> dict[str, torch.Tensor]:
    return {
        f"{player}/params/stages/{stage}/norm/scale": norm.weight,
        f"{player}/params/stages/{stage}/norm/bias": norm.bias,
        f"{player}/batch_stats/stages/{stage}/norm/mean": norm.running_mean,
        f"{player}/batch_stats/stages/{stage}/norm/var": norm.running_var,
    }


def main(_: list[str]) -> None:
    """Write the reference."""
    write_reference(flags.FLAGS.write_reference)
    print(f"wrote {flags.FLAGS.write_reference}, made with torch {torch.__version__}")


if __name__ == "__main__":
    flags.DEFINE_string("write_reference", None, "npz file to write", required=True)
    app.run(main)
