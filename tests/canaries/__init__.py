"""False contracts, one module here for each module that tools/symbolic.py proves.

The checker must refute every one of them: what cannot be refuted was not looked at, and a
"confirmed" next to it would mean nothing.
"""
