"""Small language models in PyTorch with a cache of fixed length as inputs and outputs."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

Tensors = list[torch.Tensor]
VOCABULARY, WIDTH, HEADS, LAYERS, LENGTH = 300, 64, 4, 2, 24
HEAD = WIDTH // HEADS


def written(cache: torch.Tensor, new: torch.Tensor, positions: torch.Tensor, how: str) -> torch.Tensor:
    """The cache with new rows at positions: by a mask, by index_copy, or by an assignment."""
    if how == "mask":
        hot = (torch.arange(LENGTH) == positions).float()[:, None]
        return cache * (1 - hot) + new * hot
    if how == "copy":
        return cache.index_copy(2, positions, new)
    cache = cache.clone()
    cache[:, :, positions] = new
    return cache


def split(x: torch.Tensor, heads: int) -> torch.Tensor:
    return x.view(1, x.shape[1], heads, HEAD).transpose(1, 2)


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | float = 0.0) -> torch.Tensor:
    groups = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    weights = torch.softmax(q @ k.transpose(2, 3) * HEAD**-0.5 + mask, -1)
    return (weights @ v).transpose(1, 2).reshape(1, q.shape[2], WIDTH)


def turned(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat([-b, a], -1) * sin


class RootMeanSquare(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(1 + torch.randn(WIDTH) / 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight


class LlamaBlock(nn.Module):
    """Grouped-query attention with rotary positions, and a gated feed-forward network."""

    kv_heads = HEADS // 2

    def __init__(self) -> None:
        super().__init__()
        self.before, self.after = RootMeanSquare(), RootMeanSquare()
        self.q, self.o = nn.Linear(WIDTH, WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        self.k, self.v = (nn.Linear(WIDTH, self.kv_heads * HEAD, bias=False) for _ in range(2))
        self.gate, self.up = (nn.Linear(WIDTH, 3 * WIDTH, bias=False) for _ in range(2))
        self.down = nn.Linear(3 * WIDTH, WIDTH, bias=False)
        angles = torch.outer(torch.arange(LENGTH).float(), 10000 ** (-torch.arange(0, HEAD, 2).float() / HEAD))
        self.register_buffer("cos", torch.cat([angles, angles], -1).cos())
        self.register_buffer("sin", torch.cat([angles, angles], -1).sin())

    def forward(self, x: torch.Tensor, positions: torch.Tensor, cache: Tensors, how: str, mask: Any) -> Any:
        y, cos, sin = self.before(x), self.cos[positions], self.sin[positions]
        k, v = turned(split(self.k(y), self.kv_heads), cos, sin), split(self.v(y), self.kv_heads)
        cache = [written(old, new, positions, how) for old, new in zip(cache, (k, v), strict=True)]
        x = x + self.o(attend(turned(split(self.q(y), HEADS), cos, sin), *cache, mask))
        y = self.after(x)
        return x + self.down(functional.silu(self.gate(y)) * self.up(y)), cache


class PlainBlock(nn.Module):
    """Attention as in GPT-2; with `cross`, also over the result of an encoder, as in Whisper's decoder."""

    kv_heads = HEADS

    def __init__(self, cross: bool = False) -> None:
        super().__init__()
        self.before, self.between, self.after = (nn.LayerNorm(WIDTH) for _ in range(3))
        self.qkv, self.o = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.cross = nn.Linear(WIDTH, WIDTH) if cross else None
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(
        self,
        x: torch.Tensor,
        positions: torch.Tensor,
        cache: Tensors,
        how: str,
        mask: Any,
        given: Tensors | None = None,
    ) -> Any:
        q, k, v = (split(each, HEADS) for each in self.qkv(self.before(x)).chunk(3, -1))
        cache = [written(old, new, positions, how) for old, new in zip(cache, (k, v), strict=True)]
        x = x + self.o(attend(q, *cache, mask))
        if self.cross is not None and given is not None:
            x = x + attend(split(self.cross(self.between(x)), HEADS), *given)
        return x + self.down(functional.gelu(self.up(self.after(x)), approximate="tanh")), cache


class Decoder(nn.Module):
    """Tokens at positions to the scores of the next token, and the cache: two tensors for each layer.

    Args:
        kind: "llama", "gpt2" or "whisper"; the last one also takes keys and values of an encoder for each layer.
        how: the cache is written, see `written`.
    """

    def __init__(self, kind: str, how: str) -> None:
        super().__init__()
        self.kind, self.how = kind, how
        self.tokens, self.places = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(LENGTH, WIDTH)
        block = LlamaBlock if kind == "llama" else lambda: PlainBlock(kind == "whisper")
        self.blocks = nn.ModuleList([block() for _ in range(LAYERS)])
        self.norm = RootMeanSquare() if kind == "llama" else nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of each tensor of the cache."""
        return (1, self.blocks[0].kv_heads, LENGTH, HEAD)

    def forward(self, tokens: torch.Tensor, positions: torch.Tensor, *cache: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = self.tokens(tokens)
        if self.kind != "llama":
            x = x + self.places(positions)
        mask = torch.where(torch.arange(LENGTH)[None] <= positions[:, None], 0.0, -1e4)
        own, given = cache[: 2 * LAYERS], cache[2 * LAYERS :]
        made: Tensors = []
        for i, block in enumerate(self.blocks):
            more = [list(given[2 * i : 2 * i + 2])] if given else []
            x, new = block(x, positions, list(own[2 * i : 2 * i + 2]), self.how, mask, *more)
            made += new
        return (self.head(self.norm(x)), *made)


class Prefill(nn.Module):
    """Several tokens from position 0 on, with an empty cache."""

    def __init__(self, decoder: Decoder, count: int) -> None:
        super().__init__()
        self.decoder, self.count = decoder, count

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, ...]:
        cache = [torch.zeros(self.decoder.shape) for _ in range(2 * LAYERS)]
        found: tuple[torch.Tensor, ...] = self.decoder(tokens, torch.arange(self.count), *cache)
        return found


class Encoder(nn.Module):
    """Sound to keys and values for each layer of a decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(16, WIDTH, 3, padding=1)
        self.second = nn.Conv1d(WIDTH, WIDTH, 3, stride=2, padding=1)
        self.given = nn.ModuleList([nn.Linear(WIDTH, WIDTH) for _ in range(2 * LAYERS)])

    def forward(self, sound: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = functional.gelu(self.second(functional.gelu(self.first(sound)))).transpose(1, 2)
        return tuple(split(each(x), HEADS) for each in self.given)
