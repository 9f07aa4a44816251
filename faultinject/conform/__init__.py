"""Conformance and crash safety of one adapter, in one report."""
