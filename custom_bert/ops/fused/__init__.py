"""Kernel fusion on a CPU: what lies between an encoder's matrix products, in one pass over memory each.

| module | what it does |
|---|---|
| `kernels.cpp` | the kernels |
| `library` | compiles them once on a machine, and loads them |
| `functions` | calls them as functions that autograd can go through |
"""
