"""What can be refused about gateways, and about what is sold of each operator."""

from django.utils.translation import gettext_lazy as _

from shared.errors import InvalidRequest, Problem


class InvalidTerms(InvalidRequest):
    """400: what an admin wants to settle can't be so; ``errors`` says why."""

    field_messages = {
        **InvalidRequest.field_messages,
        "amounts_and_range": _("Choose fixed amounts or a range, not both."),
        "invalid_url": _("Write an https:// address without a user, a password, a query or a fragment."),
        "built_in": _("The name of this operator can't be changed."),
        "least_above_most": _("The minimum is above the maximum. Lower it, or raise the maximum."),
        "not_of_this_kind": _("This kind of gateway does not use it. Leave it empty."),
        "operator_name_taken": _("An operator of this name already exists. Choose another name."),
        "repeated": _("An amount is listed twice. Remove one of them."),
        "reserved": _("This is the name of the gateway that is always there. Choose another name."),
        "unknown_gateway": _("This gateway no longer exists. Choose another one."),
    }


class GatewayExists(Problem):
    """409: the organization has a gateway of this name."""

    status, code, title = 409, "gateway_exists", "Gateway exists"
    message = _("A gateway of this name already exists. Choose another name.")


class GatewayInUse(Problem):
    """409: an operator's recharges go through this gateway, or some that did are still under way."""

    status, code, title = 409, "gateway_in_use", "Gateway in use"
    message = _(
        "This gateway is still in use: an operator has it, or recharges are in progress through "
        "it. Assign another gateway to its operators, wait until nothing is in progress, and try "
        "again."
    )


class OperatorExists(Problem):
    """409: there is an operator of this code."""

    status, code, title = 409, "operator_exists", "Operator exists"
    message = _("An operator of this code already exists. Choose another code.")
