"""Hypothesis profiles: "ci" is the same each time, "explore" looks for what is new (docs/testing.md). And signals."""

from __future__ import annotations

import os
import signal

from hypothesis import settings
from hypothesis.database import DirectoryBasedExampleDatabase

# Tests send signals to this process and to those that it starts. A shell in the background and nohup ignore some of
# them, which every process would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)
for _number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
    signal.signal(_number, signal.SIG_DFL)

# What `--hypothesis-profile` names is loaded later, by the plugin of Hypothesis.
settings.register_profile("ci", derandomize=True, database=None, deadline=None, print_blob=True)
settings.register_profile(
    "explore",
    database=DirectoryBasedExampleDatabase(".hypothesis/examples"),
    deadline=None,
    max_examples=5_000,
    print_blob=True,
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or "ci")
