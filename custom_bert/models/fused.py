"""The layers of an encoder in training on a CPU, by fused kernels (`ops.fused`). It computes what
`Encoder.forward` does, layer by layer, with the same weights and the same draws of dropout.

Shapes: T rows, R rows that are read, D hidden.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from custom_bert.layout import Layout
from custom_bert.models.layers import EncoderLayer, ReadRows, RopeTables, SelfAttention
from custom_bert.ops.attention import can_attend_from_first
from custom_bert.ops.fused.functions import WIDTH, Kernels, Wanted

SHORT, LONG = 24, 192
"""For texts of up to `SHORT` tokens the attention of the kernels is up to twice as fast as matrix products.
From `LONG` on it is as fast, and a step takes a quarter less memory. Between them matrix products are faster
(docs/log/0028)."""


def fused_layers(
    layers: list[EncoderLayer],
    final_norm: nn.Module,
    x_TD: Tensor,
    layout: Layout,
    tables: Mapping[bool, RopeTables],
    read: ReadRows | None,
    kernels: Kernels,
) -> Tensor:
    """Returns the encoder's hidden vectors, (T, D), or (R, D) if the last layer computes some rows alone.

    Args:
        layers: the layers, either all pre-norm or all post-norm.
        final_norm: the norm after the last layer of a pre-norm encoder.
        x_TD: the vectors of the embeddings.
        layout: where the sequences lie.
        tables: rotary tables of global (False) and local layers (True).
        read: the rows that are read of the last layer; None for all.
        kernels: the kernels.
    """
    post = isinstance(layers[0].attn_out_norm, nn.LayerNorm)
    stream_TD: Tensor = x_TD
    read_TD: Tensor = layers[0].attn_in_norm(x_TD)
    for i, layer in enumerate(layers, start=1):
        last = i == len(layers)
        rows = read if last else None
        rope = tables.get(layer.attn.is_local)
        attended_RD = _attended(kernels, layer.attn, read_TD, layout, rope, rows)
        if rows is not None:
            stream_TD = stream_TD[rows.rows_R]
        wanted: Wanted = "stream" if post else "sum"
        norm = layer.attn_out_norm if post else layer.mlp_in_norm
        add_norm = partial(_add_norm, kernels, dropout=layer.dropout.p)
        stream_TD, read_TD = add_norm(stream_TD, attended_RD, layer.attn.out, norm, wanted=wanted)
        up, down = layer.mlp.up, layer.mlp.down
        up_RF = F.linear(read_TD, up.weight)
        hidden_RF = kernels.activation(up_RF, up.bias, layer.mlp.kind, gated=layer.mlp.gated)
        norm = layer.mlp_out_norm if post else final_norm if last else layers[i].attn_in_norm
        wanted = "norm" if last else wanted
        stream_TD, read_TD = add_norm(stream_TD, hidden_RF, down, norm, wanted=wanted)
    return read_TD


def _attended(
    kernels: Kernels,
    attn: SelfAttention,
    x_TD: Tensor,
    layout: Layout,
    rope: RopeTables | None,
    read: ReadRows | None,
) -> Tensor:
    """Returns what `SelfAttention.attend` does. Its own ways are taken for what the kernels do not compute:
    dropped weights, windows, heads of odd widths, and first tokens alone."""
    first = read is not None and read.first and can_attend_from_first(layout, attn.kernel)
    longest = layout.max_seqlen
    near, pays = attn.window < 0 or attn.window >= longest - 1, longest <= SHORT or longest >= LONG
    heads, width = attn.num_heads, x_TD.shape[1]
    if not pays or first or not near or attn.dropout or attn.kernel is not None or width // heads % WIDTH:
        return attn.attend(x_TD, layout, rope, read)
    bias_E = attn.qkv.bias
    if rope is None:
        out_TD = kernels.attention(F.linear(x_TD, attn.qkv.weight), bias_E, layout, heads)
    else:
        qkv_TE = attn.rotated(attn.qkv(x_TD), rope).flatten(1)
        out_TD = kernels.attention(qkv_TE, None, layout, heads)
    return out_TD if read is None else out_TD[read.rows_R]


def _add_norm(
    kernels: Kernels,
    stream_RD: Tensor,
    x_RK: Tensor,
    projection: nn.Linear,
    norm: nn.Module,
    *,
    dropout: float,
    wanted: Wanted,
) -> tuple[Tensor, Tensor]:
    """Projects x and adds it to the stream; see `Kernels.add_norm`."""
    assert isinstance(norm, nn.LayerNorm)
    branch_RD = F.linear(x_RK, projection.weight)
    return kernels.add_norm(stream_RD, branch_RD, projection.bias, norm, dropout=dropout, wanted=wanted)
