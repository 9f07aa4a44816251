"""Properties that Hypothesis checks with CrossHair's solver as its source of values."""
