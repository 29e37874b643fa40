"""All writing of files, and all reading of a run's JSON, goes through this package.

| module | what it does |
|---|---|
| `durable` | writes files, so that a reader sees the old content or the new content, never a part |
| `directories` | makes, names and removes directories |
| `line_log` | appends lines to a file |
| `locks` | holds a directory for one process |
| `reading` | reads files that somebody else may have made |
| `system` | the system's calls behind all of these; tests replace them to let them fail |

Standard library only.
"""

from custom_bert.files.directories import (
    check_writable,
    is_private,
    make_directory,
    make_private_directory,
    new_directory,
    remove_directory,
    remove_file,
    remove_if_empty,
    remove_litter,
    rename_directory,
)
from custom_bert.files.durable import (
    Sink,
    copy_into,
    creating,
    name_too,
    write_bytes,
    write_json,
    write_text,
    writing,
)
from custom_bert.files.line_log import LineLog
from custom_bert.files.locks import locked
from custom_bert.files.reading import (
    LARGEST_JSON,
    copy_of,
    is_json,
    link_to,
    open_regular,
    parse_json,
    read_at_most,
    read_once,
    read_regular,
    read_run_json,
    sha256_of,
)
from custom_bert.files.system import LITTER

__all__ = [
    "LARGEST_JSON",
    "LITTER",
    "LineLog",
    "Sink",
    "check_writable",
    "copy_into",
    "copy_of",
    "creating",
    "is_json",
    "is_private",
    "link_to",
    "locked",
    "make_directory",
    "make_private_directory",
    "name_too",
    "new_directory",
    "open_regular",
    "parse_json",
    "read_at_most",
    "read_once",
    "read_regular",
    "read_run_json",
    "remove_directory",
    "remove_file",
    "remove_if_empty",
    "remove_litter",
    "rename_directory",
    "sha256_of",
    "write_bytes",
    "write_json",
    "write_text",
    "writing",
]
