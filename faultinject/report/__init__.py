"""What a sweep found, for people and for machines."""
