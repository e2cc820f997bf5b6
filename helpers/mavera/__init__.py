"""Mavera: its client, what is sent, what it costs, and what its answers claim.

These names are the door to the service: doctor and stages reach it through them.
"""

from helpers.mavera.bill import KINDS, Bill, BillRow, Purchase
from helpers.mavera.client import SHAPES
from helpers.mavera.ledger import settle_by_hand
from helpers.mavera.purchases import Account, open_account
