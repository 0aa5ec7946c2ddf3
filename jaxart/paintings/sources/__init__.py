"""Readers of collections as people have them: where the pictures lie, their labels."""
