"""Findings: one module for each question that an expert asks of the viewers."""
