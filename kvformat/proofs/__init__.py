"""Machine-checked proofs of spec/saving.md: the protocol as transition systems, for every size and every fault.

The theorems, what they assume and how they are tied to the code stand in spec/proofs/README.md. Needs the extra
`proofs` (z3).
"""
