"""What only the command line needs: runner, kernels, accounts, doctor, erase."""

import logging
import sys

# Where jsonschema finds this package it builds a grammar of web addresses, two seconds of every
# start, for a check of formats that nothing here asks for.
sys.modules.setdefault("rfc3987_syntax", None)

# It tells that the home folder cannot be written, which a nightly run need not hear.
logging.getLogger("matplotlib").setLevel(logging.ERROR)
