"""What dealers earn by what is sold below them: posted in batches, by the workers (sql/margins.sql)."""
