"""The command that brings published checkpoints to this machine: `fetch`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from custom_bert.errors import UserError, did_you_mean
from custom_bert.options.option import Command, Mark
from custom_bert.terminal import DataOutput, say


@dataclass(frozen=True, kw_only=True)
class Fetch(Command):
    """Fetch a published checkpoint from the Hugging Face Hub into its cache.

    Without NAME, the checkpoints that have a name are listed. Once minilm is fetched, train starts from it
    unless a setting says otherwise."""

    name: Annotated[str | None, Mark(word="NAME", positional=True)] = None
    """A name of the list."""
    revision: Annotated[str | None, Mark(word="REV")] = None
    """Commit, tag or branch. Without this option it is that of the list, or else the main branch."""

    def run(self) -> None:
        from custom_bert.model_files.catalogue import catalogue

        known = catalogue()
        if self.name is None:
            output = DataOutput()
            for line in _table():
                output.line(line)
            return
        if self.name not in known:
            raise UserError(
                f"fetch: no checkpoint is called {self.name!r}{did_you_mean(self.name, list(known))}; "
                f"custom-bert fetch lists the names, and --model.init-from takes any id on the Hub"
            )
        from custom_bert.model_files.hub import fetch, size_of

        checkpoint = known[self.name]
        say(f"{self.name}: asking the Hugging Face Hub for {checkpoint.repository}")
        found = fetch(checkpoint, self.revision or "", say)
        verified = "as known" if checkpoint.sha256 and not self.revision else NOT_MEASURED
        say(
            f"{self.name}: {size_of(found.directory) / 1e6:,.0f} MB in {found.directory}; "
            f"{checkpoint.license}; SHA-256 of the weights: {verified}"
        )


def _table() -> list[str]:
    """Returns the catalogue as lines of at most 80 characters."""
    from custom_bert.model_files.catalogue import catalogue

    rows = [
        (one.name, f"{one.megabytes} MB", one.license, "known" if one.sha256 else NOT_MEASURED, one.about)
        for one in catalogue().values()
    ]
    heads = ("name", "size", "licence", "SHA-256", "")
    return [
        f"{name:<21}  {size:>6}  {terms:<10}  {digest:<17}  {about}".rstrip()
        for name, size, terms, digest, about in (heads, *rows)
    ]


NOT_MEASURED = "not measured here"
"""What stands for the hash of weights that were not at hand to be hashed."""
