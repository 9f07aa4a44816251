"""Sweeps functions of Python programs in their own process: their calls are seen, broken and judged."""
