"""The painter: strokes, and the optimisation that places them."""
