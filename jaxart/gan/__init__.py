"""The GAN: its networks, one update of both players, and the devices it runs on."""
