"""The chapter's networks, density and sampler as written there; only to compare with."""

from .chapter_routes import path_integral

__all__ = ["path_integral"]
