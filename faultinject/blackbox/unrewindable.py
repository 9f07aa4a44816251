"""What is raised where a program cannot be rewound; the fault is then run anew from the start."""

from __future__ import annotations


class UnrewindableError(Exception):
    """The program cannot be rewound from where it stands; the text says why."""
