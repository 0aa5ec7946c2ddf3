"""The GAN: networks, training, and what is made of trained ones."""
