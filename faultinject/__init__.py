"""Breaks a save in every way that the fault model names, and says which crash-safety level it reaches.

The fault model, the violations and the levels are defined in spec/saving.md.
"""
