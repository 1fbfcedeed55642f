"""The sale: what is sent, what is decided, what is written."""
