"""What runs the peers side by side: the standard library and nothing else."""
