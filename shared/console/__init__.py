"""The kit of the consoles: forms, tables, messages, formats, languages."""
