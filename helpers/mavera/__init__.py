"""Mavera: its client, what is sent, what it costs, and what its answers claim.

These names are the door to the service: an account that asks and buys, and what it is asked for. An
agent beside Mave is a room with the same ones, chosen as ``agent`` in ``personas.py``.
"""

from helpers.mavera.bill import KINDS, Bill, BillRow, Purchase
from helpers.mavera.client import SHAPES
from helpers.mavera.ledger import Entry, settle_by_hand
from helpers.mavera.purchases import Account, open_account
