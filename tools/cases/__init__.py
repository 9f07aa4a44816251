"""Makes the conformance cases (spec/conformance.md): `python -m tools.cases` writes spec/cases.

A module a family. Bytes are put together here, from the tables of spec/kvc.md, and what is
expected is written down beside them: neither comes from the reader or the writer that the
cases judge.
"""
