"""Raw networks: inputs and targets have unit variance; scores and densities are defined by their callers."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn

__all__ = ["Mlp", "NoiseConditionalMlp"]


class _NoiseEmbedding(nn.Module):
    """Embed c_noise = ln(sigma)/4 in low Fourier frequencies; high ones would make the derivative in sigma rough."""

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", 2.0 ** torch.linspace(-1.0, 3.0, width // 2), persistent=False)
        self.project = nn.Linear(width, width)

    def forward(self, c_noise: Tensor) -> Tensor:
        angles = c_noise * self.frequencies * math.pi / 2
        return torch.nn.functional.silu(self.project(torch.cat((angles.cos(), angles.sin()), dim=-1)))


class _Block(nn.Module):
    """Pre-normalised residual block; the noise level sets its scale and shift."""

    def __init__(self, hidden: int, embedding: int, expansion: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden, elementwise_affine=False)
        self.modulate = nn.Linear(embedding, 2 * hidden)
        self.up = nn.Linear(hidden, expansion * hidden)
        self.down = nn.Linear(expansion * hidden, hidden)
        nn.init.zeros_(self.down.weight)
        nn.init.zeros_(self.down.bias)

    def modulation(self, embedded: Tensor) -> tuple[Tensor, Tensor]:
        scale, shift = self.modulate(embedded).chunk(2, dim=-1)
        return 1 + scale, shift

    def forward(self, h: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        inner = torch.nn.functional.silu(self.up(self.norm(h) * scale + shift))
        out: Tensor = h + self.down(inner)
        return out


class NoiseConditionalMlp(nn.Module):
    """Create F(x, c_noise, base_output): [N, d], [N, 1], [N, d] -> [N, outputs] (default d), an MLP.

    `base_output` is the output that would be right if the caller's base were exact; None counts as zero.

    References:
        FiLM: Visual Reasoning with a General Conditioning Layer (Perez et al., 2018), arXiv 1709.07871.
    """

    def __init__(
        self, dim: int, hidden: int = 128, blocks: int = 3, expansion: int = 2, outputs: int | None = None
    ) -> None:
        super().__init__()
        width = 32
        self.embed = _NoiseEmbedding(width)
        self.enter = nn.Linear(dim, hidden)
        # The name is a tensor key in model files.
        self.enter_pull = nn.Linear(dim, hidden, bias=False)
        self.blocks = nn.ModuleList(_Block(hidden, width, expansion) for _ in range(blocks))
        self.norm = nn.LayerNorm(hidden)
        self.leave = nn.Linear(hidden, outputs or dim)
        # Zero output: before training, the denoiser is exactly that of its base.
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor, c_noise: Tensor, base_output: Tensor | None = None) -> Tensor:
        h = self.enter(x) if base_output is None else self.enter(x) + self.enter_pull(base_output)
        return torch.as_tensor(self.leave(self.hidden(h, self.modulations(c_noise))))

    def modulations(self, c_noise: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return the scale and shift of each block; the noise level acts only through them."""
        embedded = self.embed(c_noise)
        return [block.modulation(embedded) for block in self.blocks]  # type: ignore[operator]

    def hidden(self, h: Tensor, modulations: list[tuple[Tensor, Tensor]]) -> Tensor:
        """Return the input of the last layer, from the output of the first layer, both [N, hidden]."""
        for block, (scale, shift) in zip(self.blocks, modulations, strict=True):
            h = block(h, scale, shift)
        return torch.nn.functional.silu(self.norm(h))


class Mlp(nn.Module):
    """Create `members` independent MLPs evaluated in one pass: [M, N, in] (or [N, in]) -> [M, N, out].

    The output layer starts at zero, so the MLP learns the difference from the caller's baseline. The other weights are
    drawn from `generator`, or from torch's own.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        outputs: int,
        *,
        members: int = 1,
        layers: int = 2,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        sizes = [inputs] + [hidden] * layers
        pairs = list(itertools.pairwise(sizes))
        self.weights = nn.ParameterList(
            [nn.Parameter(torch.randn(members, a, b, generator=generator) / math.sqrt(a)) for a, b in pairs]
            + [nn.Parameter(torch.zeros(members, hidden, outputs))]
        )
        self.biases = nn.ParameterList(
            [nn.Parameter(torch.zeros(members, 1, b)) for _, b in pairs]
            + [nn.Parameter(torch.zeros(members, 1, outputs))]
        )

    def forward(self, x: Tensor) -> Tensor:
        # Read once: indexing a ParameterList formats a string for every item.
        weights, biases = list(self.weights), list(self.biases)
        h = x if x.dim() == 3 else x.expand(weights[0].shape[0], *x.shape)
        last = len(weights) - 1
        for index, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            out = torch.baddbmm(bias, h, weight)
            if index == last:
                return out
            activated = torch.nn.functional.silu(out)
            h = activated if index == 0 else h + activated
        return h
