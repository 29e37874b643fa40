"""A model over rectangles: (N, L) token ids with a mask, as ONNX and other programs hand texts over.

Everything else here runs over packed rows (`custom_bert.batch`), which no other program has. The modules of
this file borrow the weights of a model, and compute the same from a rectangle. They use plain operations of
torch only, whose shapes may all vary, so that torch's exporter can write them.

Padding stands at the end of a row. It changes no output: no token attends to it, positions count from the
first token, and no vector of a text is made from it.

Shapes: N sequences, L slots of each, D hidden, H heads, K head width, C outputs. Q queries of a sequence: L,
or 1 where only its first token is read.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from custom_bert.models.encoder import Encoder
from custom_bert.models.heads import SequenceClassifier, pooled_like_a_layer
from custom_bert.models.layers import EncoderLayer, SelfAttention
from custom_bert.models.token_tagger import TokenTagger
from custom_bert.ops.rope import apply_rope, rope_tables

RopeTables = tuple[Tensor, Tensor]
"""Cosines and sines, each (L, 1, K)."""


class RectangularEncoder(nn.Module):
    """An encoder that reads rectangles.

    Args:
        encoder: the encoder, whose weights it shares.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    @property
    def reads_types(self) -> bool:
        """Whether tokens of the second text of a pair have vectors of their own."""
        table = self.encoder.embeddings.token_type
        return table is not None and len(table.weight) > 1

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor | None = None,
        *,
        first: bool = False,
    ) -> Tensor:
        """Returns (N, L, D) hidden vectors, undefined at padding; with `first`, (N, 1, D), those of first
        tokens.

        Args:
            input_ids: (N, L) int64 token ids.
            attention_mask: (N, L) int64, 1 for a token and 0 for the padding after the last one.
            token_type_ids: (N, L) int64 types of the tokens of pairs; None for single texts.
            first: whether only first tokens are read. Then the last layer computes them alone.
        """
        encoder = self.encoder
        positions_L = torch.arange(input_ids.shape[1], device=input_ids.device)
        x_NLD = self._embedded(input_ids, positions_L, token_type_ids)
        biases, tables = self._biases(attention_mask, positions_L), self._rope(positions_L)
        for i, layer in enumerate(encoder.layers, start=1):
            assert isinstance(layer, EncoderLayer)
            local, last = layer.attn.is_local, i == len(encoder.layers)
            x_NLD = _layer(layer, x_NLD, biases[local], tables.get(local), first=first and last)
        hidden_NLD: Tensor = encoder.final_norm(x_NLD)
        return hidden_NLD

    def _embedded(self, input_ids: Tensor, positions_L: Tensor, token_type_ids: Tensor | None) -> Tensor:
        """Returns (N, L, D), what `Embeddings` returns for the tokens."""
        embeddings = self.encoder.embeddings
        x_NLD = embeddings.token(input_ids)
        if embeddings.position is not None:
            x_NLD = x_NLD + embeddings.position(positions_L + embeddings.offset)
        if embeddings.token_type is not None:
            typed = token_type_ids is not None and self.reads_types
            types = embeddings.token_type
            x_NLD = x_NLD + (types(token_type_ids) if typed else types.weight[0])
        embedded_NLD: Tensor = embeddings.norm(x_NLD)
        return embedded_NLD

    def _biases(self, attention_mask: Tensor, positions_L: Tensor) -> dict[bool, Tensor]:
        """Returns what is added to the scores of global layers (key False), (N, 1, 1, L), and of local ones
        (True), (N, 1, L, L): 0 where a key is read, and the lowest number where it is not."""
        read_N11L = attention_mask[:, None, None, :] > 0
        masks = {False: read_N11L}
        if self.encoder.config.local_attention:
            distance_LL = (positions_L[:, None] - positions_L).abs()
            masks[True] = read_N11L & (distance_LL <= self.encoder.config.local_attention // 2)
        lowest = torch.finfo(torch.float32).min
        return {local: torch.where(mask, 0.0, lowest) for local, mask in masks.items()}

    def _rope(self, positions_L: Tensor) -> dict[bool, RopeTables]:
        """Returns the rotary tables of global layers (key False) and of local ones (True), if any."""
        config = self.encoder.config
        if config.position != "rope":
            return {}
        thetas = {False: config.rope_theta}
        if config.local_attention:
            thetas[True] = config.local_rope_theta
        return {local: rope_tables(positions_L, config.head_dim, theta) for local, theta in thetas.items()}


def _layer(
    layer: EncoderLayer, x_NLD: Tensor, bias: Tensor, rope: RopeTables | None, *, first: bool
) -> Tensor:
    """Returns what a layer makes of hidden vectors, (N, Q, D)."""
    attended_NQD = _attention(layer.attn, layer.attn_in_norm(x_NLD), bias, rope, first=first)
    x_NQD = (x_NLD[:, :1] if first else x_NLD) + attended_NQD
    x_NQD = layer.attn_out_norm(x_NQD)
    x_NQD = x_NQD + layer.mlp(layer.mlp_in_norm(x_NQD))
    out_NQD: Tensor = layer.mlp_out_norm(x_NQD)
    return out_NQD


def _attention(
    attn: SelfAttention, x_NLD: Tensor, bias: Tensor, rope: RopeTables | None, *, first: bool
) -> Tensor:
    """Returns (N, Q, D) the output of self-attention."""
    q_NLHK, k_NLHK, v_NLHK = (
        part.unflatten(-1, (attn.num_heads, -1)) for part in attn.qkv(x_NLD).chunk(3, dim=-1)
    )
    if rope is not None:
        q_NLHK, k_NLHK = apply_rope(q_NLHK, *rope), apply_rope(k_NLHK, *rope)
    if first:
        q_NLHK, bias = q_NLHK[:, :1], bias[:, :, :1]
    q_NHQK, k_NHKL, v_NHLK = q_NLHK.transpose(1, 2), k_NLHK.permute(0, 2, 3, 1), v_NLHK.transpose(1, 2)
    weights_NHQL = (q_NHQK * q_NHQK.shape[-1] ** -0.5 @ k_NHKL + bias).softmax(-1)
    out_NQD: Tensor = attn.out((weights_NHQL @ v_NHLK).transpose(1, 2).flatten(2))
    return out_NQD


class RectangularClassifier(nn.Module):
    """A classifier that reads rectangles.

    Args:
        model: the classifier, whose weights it shares.
    """

    def __init__(self, model: SequenceClassifier) -> None:
        super().__init__()
        self.model = model
        self.encoder = RectangularEncoder(model.encoder)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """Returns (N, C) what the head makes of each row; see `RectangularEncoder.forward`. If the rows are
        windows of a text, the caller averages them."""
        config = self.model.config
        first = config.pooling == "cls"
        hidden_NLD = self.encoder(input_ids, attention_mask, token_type_ids, first=first)
        pooled_ND = hidden_NLD[:, 0]
        if config.pooling != "cls":
            mean_ND = masked_mean(hidden_NLD, attention_mask)
            mixes = config.pooling == "mean_layer"
            pooled_ND = pooled_like_a_layer(pooled_ND, mean_ND, config.norm_eps) if mixes else mean_ND
        logits_NC: Tensor = self.model.head(pooled_ND)
        return logits_NC


class RectangularTagger(nn.Module):
    """A classifier of tokens that reads rectangles.

    Args:
        model: the classifier, whose weights it shares.
    """

    def __init__(self, model: TokenTagger) -> None:
        super().__init__()
        self.model = model
        self.encoder = RectangularEncoder(model.encoder)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """Returns (N, L, C) what the head makes of each token, undefined at padding; see
        `RectangularEncoder.forward`."""
        logits_NLC: Tensor = self.model.head(self.encoder(input_ids, attention_mask, token_type_ids))
        return logits_NLC


def masked_mean(hidden_NLD: Tensor, attention_mask: Tensor) -> Tensor:
    """Returns (N, D), the mean of the vectors of each row's tokens, without padding."""
    read_NL1 = attention_mask[:, :, None] > 0
    sums_ND = torch.where(read_NL1, hidden_NLD, 0.0).sum(1)
    return sums_ND / attention_mask.sum(1, keepdim=True)
