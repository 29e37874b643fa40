"""Tables as data: CSV and its relatives, JSON lines and Parquet.

A table is streamed, a batch of rows at a time, and never held in memory. Each column is read as
`data.lines.Lines`, so that every check of two files is a check of two columns.

| module | what it does |
|---|---|
| `formats` | the formats, by the endings of file names |
| `content` | the text of a file: unpacked, decoded, in chunks of whole lines |
| `csv_table`, `json_table`, `parquet_table` | the rows of a file, in batches |
| `csv_rows`, `csv_header` | how lines of CSV are parsed, and how their separator is found |
| `batches` | what these three have in common, and the line of each row |
| `cells` | cells as strings: texts, labels, and names of groups |
| `choosing` | which columns hold the texts and the labels |
| `column` | a column, or some of its rows, as `Lines` |
| `opening` | the training, validation and test data that the settings name |
| `writing` | a table with the same rows and two more columns |
"""
