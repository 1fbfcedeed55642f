"""The consoles of sellers and admins."""
