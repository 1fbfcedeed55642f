"""What was sold, summed up, and whether the books are right."""
