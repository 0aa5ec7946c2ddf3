"""Drawing: strokes, the marks of brushes, and how paints mix."""
