"""One encoder layer with four norm slots: post-norm BERT, pre-norm RoBERTa and ModernBERT are data.

Shapes: T rows, D hidden, H heads, K head width, F MLP width.
"""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from custom_bert.batch import Layout
from custom_bert.config import Activation, Kernel
from custom_bert.ops.attention import attention
from custom_bert.ops.rope import apply_rope
from custom_bert.presets import EncoderConfig

RopeTables = tuple[Tensor, Tensor]

ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,  # Hendrycks and Gimpel 2016, arXiv 1606.08415, with erf
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
}


def make_norm(config: EncoderConfig, present: bool = True) -> nn.Module:
    """A LayerNorm over D, or `Identity` for an empty slot."""
    if not present:
        return nn.Identity()
    return nn.LayerNorm(config.hidden_size, eps=config.norm_eps, bias=config.bias)


class SelfAttention(nn.Module):
    """Multi-head self-attention with one projection for queries, keys and values.

    Args:
        config: the architecture.
        layer: index from 0; decides between the local window and the whole sequence.
    """

    def __init__(self, config: EncoderConfig, layer: int) -> None:
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.is_local = config.is_local(layer)
        self.window = config.local_attention // 2 if self.is_local else -1
        self.dropout = config.attention_dropout
        self.kernel: Kernel | None = None
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=config.bias)
        self.out = nn.Linear(config.hidden_size, config.hidden_size, bias=config.bias)

    def forward(self, x_TD: Tensor, layout: Layout, rope: RopeTables | None) -> Tensor:
        """(T, D) -> (T, D); `rope` holds the tables of this layer's base, if there are any."""
        q, k, v = self.qkv(x_TD).unflatten(-1, (3, self.num_heads, -1)).unbind(1)
        if rope is not None:
            q, k = apply_rope(q, *rope), apply_rope(k, *rope)
        out_THK = attention(
            q,
            k,
            v,
            layout,
            kernel=self.kernel,
            window=self.window,
            dropout=self.dropout if self.training else 0.0,
        )
        out_TD: Tensor = self.out(out_THK.flatten(1))
        return out_TD


class Mlp(nn.Module):
    """up, activation, down; gated (GeGLU, Shazeer 2020, arXiv 2002.05202): activation(up) x gate, down."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.gated = config.mlp == "gated"
        width = config.intermediate_size * (2 if self.gated else 1)
        self.activation = ACTIVATIONS[config.hidden_act]
        self.up = nn.Linear(config.hidden_size, width, bias=config.bias)
        self.down = nn.Linear(config.intermediate_size, config.hidden_size, bias=config.bias)

    def forward(self, x_TD: Tensor) -> Tensor:
        """(T, D) -> (T, D)."""
        hidden_TF = self.up(x_TD)
        if self.gated:
            up_TF, gate_TF = hidden_TF.chunk(2, dim=-1)
            hidden_TF = self.activation(up_TF) * gate_TF
        else:
            hidden_TF = self.activation(hidden_TF)
        out_TD: Tensor = self.down(hidden_TF)
        return out_TD


class EncoderLayer(nn.Module):
    """Attention and MLP, each with a norm slot before it and one after its residual sum."""

    def __init__(self, config: EncoderConfig, layer: int) -> None:
        super().__init__()
        pre = config.norm == "pre"
        self.attn_in_norm = make_norm(config, pre and (layer > 0 or config.first_attn_norm))
        self.attn = SelfAttention(config, layer)
        self.attn_out_norm = make_norm(config, not pre)
        self.mlp_in_norm = make_norm(config, pre)
        self.mlp = Mlp(config)
        self.mlp_out_norm = make_norm(config, not pre)
        self.dropout = nn.Dropout(config.hidden_dropout)

    def forward(self, x_TD: Tensor, layout: Layout, rope: RopeTables | None) -> Tensor:
        """(T, D) -> (T, D)."""
        x_TD = x_TD + self.dropout(self.attn(self.attn_in_norm(x_TD), layout, rope))
        x_TD = self.attn_out_norm(x_TD)
        x_TD = x_TD + self.dropout(self.mlp(self.mlp_in_norm(x_TD)))
        out_TD: Tensor = self.mlp_out_norm(x_TD)
        return out_TD
