"""What each attention kernel can do. The functions are in `ops`, and the rule that chooses is in
`ops.attention`.

Only the standard library is imported, since settings are checked by this table.
"""

from __future__ import annotations

from dataclasses import dataclass

from custom_bert.config import Kernel


@dataclass(frozen=True, kw_only=True)
class KernelTraits:
    """What a kernel can do, and what it needs.

    Attributes:
        drops_weights: whether it can drop attention weights.
        by_block: whether it computes a batch block by block, so that the last layer may compute first tokens
            alone in its place (`ops.attention.first_token_attention`).
        cpu_only: whether it is made for a CPU.
        needs_flash: whether it is flash attention over cu_seqlens: for packed batches without padding, in
            fp16 or bf16, on a CUDA GPU that has it.
    """

    drops_weights: bool
    by_block: bool
    cpu_only: bool = False
    needs_flash: bool = False


KERNELS: dict[Kernel, KernelTraits] = {
    "naive": KernelTraits(drops_weights=True, by_block=True),
    "matmul": KernelTraits(drops_weights=True, by_block=True, cpu_only=True),
    "dense": KernelTraits(drops_weights=True, by_block=True),
    "grouped": KernelTraits(drops_weights=False, by_block=False),
    "varlen": KernelTraits(drops_weights=False, by_block=False, needs_flash=True),
}
"""Every kernel, the reference first."""

REFERENCE: Kernel = "naive"
"""The formula spelled out. It is never the fastest."""


def with_dropout() -> str:
    """Returns the names of the kernels that can drop attention weights: `naive, matmul or dense`."""
    *names, last = (name for name, traits in KERNELS.items() if traits.drops_weights)
    return f"{', '.join(names)} or {last}"
