"""Baselines: the chapter's training loop, density and sampler, unchanged."""

from .chapter_routes import path_integral

__all__ = ["path_integral"]
