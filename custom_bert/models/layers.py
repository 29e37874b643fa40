"""One encoder layer with four norm slots.

Post-norm BERT, pre-norm RoBERTa and ModernBERT differ only in their `EncoderConfig`: it says which slots hold
a norm and which hold `Identity`.

Shapes: T rows, R rows that are read, D hidden, H heads, K head width, F MLP width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from custom_bert.config import Activation, Kernel
from custom_bert.layout import Layout
from custom_bert.ops.attention import attention, can_attend_from_first, first_token_attention
from custom_bert.ops.dropout import Dropout
from custom_bert.ops.rope import apply_rope
from custom_bert.presets import EncoderConfig
from custom_bert.rounding import round_up

RopeTables = tuple[Tensor, Tensor]
"""Cosines and sines; see `ops.rope.rope_tables`."""

READ_MULTIPLE = 32
"""The number of read rows is filled up to a multiple of this, so that their matrix products have few
different shapes. On a CPU oneDNN builds a kernel for each shape (`ops.matmul_attention`)."""


@dataclass(frozen=True)
class ReadRows:
    """The rows whose output is read. What only other rows would need is not computed.

    Attributes:
        rows_R: (R,) indices of rows. After the first `count` the index 0 is repeated, which makes R round.
        count: the number of rows that are read.
        first: whether they are the first tokens of all sequences, in order.
    """

    rows_R: Tensor
    count: int
    first: bool

    @staticmethod
    def of(rows_R: Tensor, *, first: bool) -> ReadRows:
        """Fills row indices up to a multiple of `READ_MULTIPLE`, which is not 0 even where no row is read.

        Args:
            rows_R: different indices.
            first: see the attribute.
        """
        count = len(rows_R)
        more = rows_R.new_zeros(round_up(max(1, count), READ_MULTIPLE) - count)
        return ReadRows(torch.cat([rows_R, more]), count, first)


def filled_up(x_RD: Tensor) -> Tensor:
    """Appends rows of zeros, so that the number of rows is a multiple of `READ_MULTIPLE`."""
    return F.pad(x_RD, (0, 0, 0, round_up(len(x_RD), READ_MULTIPLE) - len(x_RD)))


ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,  # Hendrycks and Gimpel 2016, arXiv 1606.08415, with erf
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
}


def make_norm(config: EncoderConfig, present: bool = True) -> nn.Module:
    """Returns a LayerNorm over D, or `Identity` if the slot is empty."""
    if not present:
        return nn.Identity()
    return nn.LayerNorm(config.hidden_size, eps=config.norm_eps, bias=config.bias)


class SelfAttention(nn.Module):
    """Multi-head self-attention with one projection for queries, keys and values.

    Args:
        config: the architecture.
        layer: its index from 0, by which attention reaches the local window or the whole sequence.
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

    def forward(
        self, x_TD: Tensor, layout: Layout, rope: RopeTables | None, read: ReadRows | None = None
    ) -> Tensor:
        """Returns (T, D), or (R, D) if only some rows are read. `attend` explains the arguments."""
        out_RD: Tensor = self.out(self.attend(x_TD, layout, rope, read))
        return out_RD

    def attend(self, x_TD: Tensor, layout: Layout, rope: RopeTables | None, read: ReadRows | None) -> Tensor:
        """Returns what the output projection reads: (T, D), or (R, D) if only some rows are read.

        Args:
            x_TD: the hidden vectors.
            layout: where the sequences lie.
            rope: tables for the rotary base of this layer; None for an architecture without rotation.
            read: the rows whose output is read; None for all.
        """
        dropout = self.dropout if self.training else 0.0
        if read is not None and read.first and can_attend_from_first(layout, self.kernel):
            out_RHK = self._from_first(x_TD, layout, rope, read, dropout)
        else:
            qkv_T3HK = self.rotated(self.qkv(x_TD), rope)
            out_RHK = attention(qkv_T3HK, layout, kernel=self.kernel, window=self.window, dropout=dropout)
            if read is not None:
                out_RHK = out_RHK[read.rows_R]
        return out_RHK.flatten(1)

    def rotated(self, qkv_TE: Tensor, rope: RopeTables | None) -> Tensor:
        """Returns (T, 3, H, K) queries, keys and values, of which the first two are rotated if there are
        tables."""
        qkv_T3HK = self._heads(qkv_TE, 3)
        if rope is None:
            return qkv_T3HK
        q, k, v = qkv_T3HK.unbind(1)
        return torch.stack([apply_rope(q, *rope), apply_rope(k, *rope), v], dim=1)

    def _heads(self, x: Tensor, parts: int) -> Tensor:
        """Divides (R, parts x D) into heads, (R, parts, H, K)."""
        return x.view(len(x), parts, self.num_heads, -1)

    def _from_first(
        self, x_TD: Tensor, layout: Layout, rope: RopeTables | None, read: ReadRows, dropout: float
    ) -> Tensor:
        """Computes queries for the first tokens alone, keys and values for all rows. Returns (R, H, K)."""
        width = x_TD.shape[1]
        weight_q, weight_kv = self.qkv.weight[:width], self.qkv.weight[width:]
        bias = self.qkv.bias
        bias_q, bias_kv = (None, None) if bias is None else (bias[:width], bias[width:])
        (q,) = self._heads(F.linear(x_TD[read.rows_R], weight_q, bias_q), 1).unbind(1)
        k, v = self._heads(F.linear(x_TD, weight_kv, bias_kv), 2).unbind(1)
        if rope is not None:
            cos, sin = rope
            q, k = apply_rope(q, cos[read.rows_R], sin[read.rows_R]), apply_rope(k, cos, sin)
        q_NHK = q[: read.count]
        out_NHK = first_token_attention(q_NHK, k, v, layout, window=self.window, dropout=dropout)
        return F.pad(out_NHK, (0, 0, 0, 0, 0, len(q) - read.count))


class Mlp(nn.Module):
    """The feed-forward sublayer: down(activation(up(x))).

    If it is gated (GeGLU, Shazeer 2020, arXiv 2002.05202), it is down(activation(up(x)) * gate(x)). One
    matrix computes up and gate.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.gated = config.mlp == "gated"
        width = config.intermediate_size * (2 if self.gated else 1)
        self.kind = config.hidden_act
        self.activation = ACTIVATIONS[config.hidden_act]
        self.up = nn.Linear(config.hidden_size, width, bias=config.bias)
        self.down = nn.Linear(config.intermediate_size, config.hidden_size, bias=config.bias)

    def forward(self, x_TD: Tensor) -> Tensor:
        """Returns (T, D)."""
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
        self.dropout = Dropout(config.hidden_dropout)

    def forward(
        self, x_TD: Tensor, layout: Layout, rope: RopeTables | None, read: ReadRows | None = None
    ) -> Tensor:
        """Returns (T, D), or (R, D) if only some rows are read. See `SelfAttention.forward`."""
        attended_RD = self.attn(self.attn_in_norm(x_TD), layout, rope, read)
        x_RD = (x_TD if read is None else x_TD[read.rows_R]) + self.dropout(attended_RD)
        x_RD = self.attn_out_norm(x_RD)
        x_RD = x_RD + self.dropout(self.mlp(self.mlp_in_norm(x_RD)))
        out_RD: Tensor = self.mlp_out_norm(x_RD)
        return out_RD
