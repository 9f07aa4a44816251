"""The conformance runner: cases, adapters, verdicts, reports (spec/conformance.md).

It knows an implementation only through its adapter. Nothing of it judges a file; what is right stands in the cases.
"""
