"""Viewer persona kit: from viewing history to people one can write to."""

import sys

# Where jsonschema finds this package it builds a grammar of web addresses, two seconds of every
# start, for a check of formats that nothing here asks for.
sys.modules.setdefault("rfc3987_syntax", None)
