"""What becomes of a recharge after it is sold."""
