"""What survives a loss of power: profiles of file systems as data, and the states that a recorded run may leave."""
