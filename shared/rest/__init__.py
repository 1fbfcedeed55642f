"""The kit of the API: what is read and written strictly, the same at every endpoint."""
