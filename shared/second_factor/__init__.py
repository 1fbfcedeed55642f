"""What an account proves itself with beside its password: codes of an authenticator app, passkeys, recovery codes."""
