"""The encoder: embeddings, layers and the final norm, and how their weights are drawn.

Shapes: T rows, R rows that are read, N sequences, M masked rows, D hidden.
"""

from __future__ import annotations

import math
from typing import Literal, cast

from torch import Tensor, nn

from custom_bert.batch import Batch
from custom_bert.config import Kernel
from custom_bert.models.fused import fused_layers
from custom_bert.models.layers import EncoderLayer, ReadRows, RopeTables, make_norm
from custom_bert.models.token_embedding import TokenEmbedding
from custom_bert.ops.dropout import Dropout
from custom_bert.ops.fused.functions import Kernels
from custom_bert.ops.rope import rope_tables
from custom_bert.presets import EncoderConfig


class Embeddings(nn.Module):
    """Token vectors, plus position vectors and vectors of token types where the architecture has them.

    Tokens of single texts have the type 0. An architecture with one type gives it to pairs too.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.offset = config.position_offset
        self.token = TokenEmbedding(config.vocab_size, width)
        self.position = (
            nn.Embedding(config.max_position_embeddings + self.offset, width)
            if config.position == "learned"
            else None
        )
        self.token_type = nn.Embedding(config.type_vocab_size, width) if config.type_vocab_size else None
        self.norm = make_norm(config)
        self.dropout = Dropout(config.hidden_dropout)

    def forward(self, batch: Batch) -> Tensor:
        """Returns the (T, D) vectors of the batch's (T,) token ids."""
        x_TD = self.token(batch.input_ids_T)
        if self.position is not None:
            x_TD = x_TD + self.position(batch.positions_T + self.offset)
        if self.token_type is not None:
            typed = batch.type_ids_T is not None and len(self.token_type.weight) > 1
            x_TD = x_TD + (self.token_type(batch.type_ids_T) if typed else self.token_type.weight[0])
        out_TD: Tensor = self.dropout(self.norm(x_TD))
        return out_TD


class Encoder(nn.Module):
    """A BERT-class encoder over packed rows.

    Args:
        config: the architecture. `initialise` draws the weights from torch's generator.

    Attributes:
        skip_unread: whether the last layer leaves out what only unread rows need. It changes no result.
        kernels: the fused kernels with which a CPU computes the layers in training; None to compute them by
            torch's operations, as in evaluation.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.skip_unread = True
        self.kernels: Kernels | None = None
        self.embeddings = Embeddings(config)
        self.layers = nn.ModuleList(EncoderLayer(config, layer) for layer in range(config.num_hidden_layers))
        self.final_norm = make_norm(config, config.norm == "pre")
        initialise(self, config)

    def forward(self, batch: Batch, read: Literal["all", "first", "targets"] = "all") -> Tensor:
        """Computes hidden vectors, (R, D). The values in rows of padding are undefined.

        No operation after the last layer's attention mixes rows. So if only some rows are read, the last
        layer computes queries, MLP and norms for these rows alone. A classifier of two layers that reads
        first tokens saves two fifths of its matrix products.

        Args:
            batch: token rows and their layout.
            read: all rows (R = T), each sequence's first token (R = N), or the rows of the batch's targets
                (R = M).

        Raises:
            ValueError: if a sequence is longer than the position table.
        """
        longest = int(batch.layout.max_seqlen)
        if self.config.position != "rope" and longest > self.config.max_position_embeddings:
            raise ValueError(
                f"a sequence of {longest} tokens exceeds the model's "
                f"{self.config.max_position_embeddings} positions"
            )
        x_TD = self.embeddings(batch)
        tables = self._rope(batch.positions_T)
        wanted = self._read(batch, read)
        early = wanted if self.skip_unread else None
        if self.kernels is not None and self.training:
            layers = cast(list[EncoderLayer], list(self.layers))
            x_TD = fused_layers(layers, self.final_norm, x_TD, batch.layout, tables, early, self.kernels)
        else:
            for i, layer in enumerate(self.layers, start=1):
                assert isinstance(layer, EncoderLayer)
                last = i == len(self.layers)
                x_TD = layer(x_TD, batch.layout, tables.get(layer.attn.is_local), early if last else None)
            x_TD = self.final_norm(x_TD)
        if wanted is not None:
            x_TD = (x_TD if self.skip_unread else x_TD[wanted.rows_R])[: wanted.count]
        out_RD: Tensor = x_TD
        return out_RD

    @staticmethod
    def _read(batch: Batch, read: Literal["all", "first", "targets"]) -> ReadRows | None:
        """Returns the rows that are read, or None if all of them are."""
        if read == "all":
            return None
        if read == "first":
            return ReadRows.of(batch.layout.first_N, first=True)
        assert batch.targets is not None and batch.targets.rows_M is not None, "no rows are to be read"
        return ReadRows.of(batch.targets.rows_M, first=False)

    def _rope(self, positions_T: Tensor) -> dict[bool, RopeTables]:
        """Returns the rotary tables of global layers (key False) and, if there are any, of local ones (True).

        Layers of one kind share a base, so each table is computed once for a batch.
        """
        config = self.config
        if config.position != "rope":
            return {}
        tables = {False: rope_tables(positions_T, config.head_dim, config.rope_theta)}
        if config.local_attention:
            tables[True] = rope_tables(positions_T, config.head_dim, config.local_rope_theta)
        return tables

    def set_kernel(self, kernel: Kernel | None) -> None:
        """Makes every layer use one attention kernel. None lets `choose_kernel` decide again."""
        for layer in self.layers:
            assert isinstance(layer, EncoderLayer)
            layer.attn.kernel = kernel

    def freeze(self, layers: int) -> None:
        """Excludes the embeddings and the lowest layers from training.

        Args:
            layers: the number of layers, from the lowest up. 0 freezes nothing.
        """
        frozen = [self.embeddings, *self.layers[:layers]] if layers else []
        for module in frozen:
            module.requires_grad_(False)

    def set_dropout(self, hidden: float, attention: float) -> None:
        """Sets the dropout rates of embeddings and sublayer outputs (hidden), and of attention weights."""
        self.embeddings.dropout.p = hidden
        for layer in self.layers:
            assert isinstance(layer, EncoderLayer)
            layer.dropout.p, layer.attn.dropout = hidden, attention


def initialise(module: nn.Module, config: EncoderConfig) -> None:
    """Draws every weight below `module` from a normal distribution, cut off at two standard deviations.

    Embeddings, and all matrices of post-norm encoders, have the deviation 0.02 (Devlin et al. 2018, BERT's
    released code). Matrices of pre-norm encoders have the deviation 1 / sqrt(hidden_size) (LeCun et al. 1998,
    "Efficient BackProp", section 4.6). It keeps the size of the signal at any width, while with 0.02 the
    signal fades in narrow models (docs/decisions/0003). The two projections that write into the residual
    stream are also divided by sqrt(2 x layers) (Radford et al. 2019, section 2.3). Biases become 0. Norms
    keep their ones.
    """
    pre = config.norm == "pre"
    depth = math.sqrt(2 * config.num_hidden_layers)
    for name, child in module.named_modules():
        if isinstance(child, nn.Embedding):
            _normal(child.weight, 0.02)
        elif isinstance(child, nn.Linear):
            writes = name.endswith(("attn.out", "mlp.down"))
            _normal(child.weight, config.hidden_size**-0.5 / (depth if writes else 1.0) if pre else 0.02)
            if child.bias is not None:
                nn.init.zeros_(child.bias)


def _normal(weight: Tensor, std: float) -> None:
    nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)
