"""Members of an organization, and users of the platform: who may sign in, and as what."""
