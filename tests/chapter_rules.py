"""The chapter's rule, as `examples/chapter.toml` sets it: each decision follows from one bar alone."""

import tomllib
from pathlib import Path

CHAPTER = tomllib.loads((Path(__file__).parents[1] / "examples/chapter.toml").read_text())["strategy"]
