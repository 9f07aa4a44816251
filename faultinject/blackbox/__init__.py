"""Records and breaks any program, through ptrace and seccomp, without root and without recompilation."""
