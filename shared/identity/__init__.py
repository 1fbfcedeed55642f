"""Who somebody is and where: accounts, tokens, sessions, the realm of a request, lock-out."""
