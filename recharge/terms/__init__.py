"""What is sold of an operator, through which gateway, on which terms."""
