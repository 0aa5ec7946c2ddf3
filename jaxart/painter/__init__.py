"""The painter: strokes, and what decides where they go."""
