"""What the tests stand on: the database, the server, the world of two organizations, and who visits it."""
