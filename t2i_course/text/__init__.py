"""Captions -> tokens -> embeddings."""
