"""What a seller sells at once from a file or a list: the rows as they were given, and what became of each. A batch has
no money and sells nothing: recharges do, whose idempotency keys are made of the batch's key and the row."""
