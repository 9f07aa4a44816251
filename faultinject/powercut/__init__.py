"""Power loss on real file systems: what reaches a disk is recorded, and every disk that a loss leaves is looked at."""
