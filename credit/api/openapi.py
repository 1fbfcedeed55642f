"""What the OpenAPI document says of this app's errors."""

from typing import Any


def problem_members(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """A drf-spectacular hook, after the one that describes problem documents: what ``insufficient_credit`` adds."""
    problem = result["components"]["schemas"]["Problem"]
    problem["properties"] |= {
        "balance": {"type": "integer", "description": "Tomans; with insufficient_credit."},
        "required": {"type": "integer", "description": "Tomans; with insufficient_credit."},
    }
    return result
