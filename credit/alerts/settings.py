"""What may be settled of alerts in numbers: the least, the most, and what each is."""

LIMITS: dict[str, tuple[int, int, str]] = {
    "unknown_after": (10, 7 * 24 * 60, "Minutes that a recharge may be without an outcome."),
    "requests_after": (5, 7 * 24 * 60, "Minutes that a credit request may wait."),
    "failing_percent": (1, 100, "Percent of an operator's recharges that fail, at least."),
    "failing_least": (1, 1000, "How many of them fail, at least."),
    "failing_window": (5, 120, "Minutes that are looked back for failures."),
}
