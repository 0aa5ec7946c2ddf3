"""What generator and discriminator minimise.

With logits r of real images and f of fake ones, and softplus(x) = log(1 + eˣ):

| loss | D minimises | G minimises |
|---|---|---|
| `non_saturating` | softplus(−r) + softplus(f) | softplus(−f) |
| `minimax` | the same | −softplus(f) |
| `hinge` | max(0, 1 − r) + max(0, 1 + f) | −f |
| `relativistic` | softplus(f − r), in pairs | softplus(r − f), in pairs |

in the mean over the batch. The relativistic loss asks whether a real image looks more
real than the fake one beside it, so that G cannot win by ignoring a part of the data.

R1 and R2 are penalties of D's gradient at real and at fake images: half the squared
length of ∂D(x)/∂x, in the mean over the batch. They keep the game near its equilibrium
from going in circles.

Source: Goodfellow et al., "Generative Adversarial Nets", 2014, section 3; Lim and Ye,
"Geometric GAN", 2017, for the hinge; Jolicoeur-Martineau, "The Relativistic
Discriminator", 2018, and Huang et al., "The GAN is dead; long live the GAN!", NeurIPS
2024, section 2, for pairs with both penalties; Mescheder, Geiger and Nowozin, "Which
Training Methods for GANs do actually Converge?", ICML 2018, for R1 and R2.
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float


Loss = Literal["non_saturating", "minimax", "hinge", "relativistic"]

Logits = Float[Array, " b"]
Images = Float[Array, "b h w 3"]


def discriminator_loss(real: Logits, fake: Logits, loss: Loss) -> Float[Array, ""]:
    """Return D's loss; for the first two it is −log D(x) − log(1 − D(G(z)))."""
    if loss == "hinge":
        return jnp.mean(nnx.relu(1 - real)) + jnp.mean(nnx.relu(1 + fake))
    if loss == "relativistic":
        return jnp.mean(nnx.softplus(fake - real))
    return jnp.mean(nnx.softplus(-real)) + jnp.mean(nnx.softplus(fake))


def generator_loss(fake: Logits, loss: Loss, real: Logits) -> Float[Array, ""]:
    """Return G's loss; only the relativistic one depends on logits of real images."""
    if loss == "hinge":
        return -jnp.mean(fake)
    if loss == "minimax":
        return -jnp.mean(nnx.softplus(fake))
    if loss == "relativistic":
        return jnp.mean(nnx.softplus(real - fake))
    return jnp.mean(nnx.softplus(-fake))


def gradient_penalty(
    logits_fn: Callable[[Images], Logits], images: Images
) -> Float[Array, ""]:
    """Return half the squared length of D's gradient at each image, in the mean.

    With batch norm, the gradient at an image is that of the sum of all logits.
    """
    grads = jax.grad(lambda images: jnp.sum(logits_fn(images)))(images)
    return 0.5 * jnp.mean(jnp.sum(jnp.square(grads), axis=(1, 2, 3)))
