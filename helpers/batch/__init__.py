"""What only the command line needs: runner, kernels, accounts, doctor, erase."""

import logging
import sys

# Where jsonschema finds this package it builds a grammar of web addresses, two seconds of every
# start, for a check of formats that nothing here asks for.
sys.modules.setdefault("rfc3987_syntax", None)

# A nightly run need not hear that the home folder cannot be written, or how a kernel was left.
for library in ("matplotlib", "traitlets"):
    logging.getLogger(library).setLevel(logging.ERROR)
