"""Predictions for files of any size: in shards that are durable, by several processes or machines, and as a
class for the tools of fleets.

The output grows in FILE.part, beside FILE. Rows are cut into shards by their number and length alone, each
shard is computed by itself with one thread, and counts once it is durable. So the bytes of FILE depend
neither on where a run was stopped nor on how many processes took part.

| module | what it does |
|---|---|
| `shards` | cuts rows into shards |
| `sources` | reads the rows: lines of text, or a table |
| `outputs` | which output goes with which input, and how a shard becomes bytes |
| `computing` | loads the model, and computes and writes one shard after the other |
| `workers` | processes that compute, and what becomes of one that dies |
| `identity` | what may not change when a run goes on: the model, the options, the versions |
| `partial` | the folder FILE.part |
| `joining` | puts the shards together |
| `progress` | what a person sees meanwhile |
| `job` | a run: reads, hands out, records, and joins |
| `predictor` | `BatchPredictor`, for Ray and Spark |
"""
