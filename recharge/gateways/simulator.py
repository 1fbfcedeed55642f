"""A sandbox for integrators: the last digits of the phone number decide what happens."""

from uuid import UUID

from recharge.gateways import Answer, Delivery


class SimulatorGateway:
    """All numbers succeed, so far."""

    def submit(self, reference: UUID, phone_number: str, operator: str, amount: int) -> Answer:
        return Answer(Delivery.SUCCEEDED)

    def inquire(self, reference: UUID, phone_number: str, operator: str, amount: int) -> Answer:
        return Answer(Delivery.SUCCEEDED)
