"""Readers of collections in their usual layouts: files of pictures and labels."""
