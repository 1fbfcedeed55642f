"""Pictures of slips: what a seller shows of the payment that a credit request is for."""
