"""Batches: manifests, the generator of synthetic scenes, the executor on Ray, object stores, annotations."""
