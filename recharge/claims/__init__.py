"""Claims: what a seller asks about a recharge that his customer says he did not get, and what becomes of it."""
