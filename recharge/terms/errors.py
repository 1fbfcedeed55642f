"""What can be refused about gateways, and about what is sold of each operator."""

from django.utils.translation import gettext_lazy as _

from shared.errors import InvalidRequest, Problem


class InvalidTerms(InvalidRequest):
    """400: what an admin wants to settle can't be so; ``errors`` says why."""

    field_messages = {
        **InvalidRequest.field_messages,
        "amounts_and_range": _("Choose certain amounts or a range, not both."),
        "invalid_url": _("Write an https:// address without a user, a password, a query or a fragment."),
        "built_in": _("This operator has its name for good. Leave it as it is."),
        "least_above_most": _("The least amount is above the most. Make it smaller, or the most larger."),
        "not_of_this_kind": _("A gateway of this kind has none. Leave it empty."),
        "operator_name_taken": _("There is an operator of this name already. Choose another name."),
        "repeated": _("An amount is there twice. Remove one of them."),
        "reserved": _("This is the name of the gateway that is always there. Choose another name."),
        "unknown_gateway": _("This gateway is gone. Choose another one."),
    }


class GatewayExists(Problem):
    """409: the organization has a gateway of this name."""

    status, code, title = 409, "gateway_exists", "Gateway exists"
    message = _("There is a gateway of this name already. Choose another name.")


class GatewayInUse(Problem):
    """409: an operator's recharges go through this gateway, or some that did are still under way."""

    status, code, title = 409, "gateway_in_use", "Gateway in use"
    message = _(
        "This gateway is still needed: an operator has it, or recharges are under way through it. Give its "
        "operators another gateway, wait until nothing is under way, and try again."
    )


class OperatorExists(Problem):
    """409: there is an operator of this code."""

    status, code, title = 409, "operator_exists", "Operator exists"
    message = _("There is an operator of this code already. Choose another code.")
