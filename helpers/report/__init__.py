"""The report: report.json, report.html, and a notebook as a page."""
