"""How much may be sold, by whom, and at which hours. What it means is in sql/limits.sql."""
