"""Hypothesis profiles: HYPOTHESIS_PROFILE names one; else "ci" where CI is set, "dev" at the desk. And signals."""

from __future__ import annotations

import os
import signal

from hypothesis import settings

# Tests send signals to this process and to those that it starts. A shell in the background and nohup ignore some of
# them, which every process would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)
for _number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
    signal.signal(_number, signal.SIG_DFL)

settings.register_profile("ci", derandomize=True, database=None, deadline=None, print_blob=True)
settings.register_profile("dev", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))
