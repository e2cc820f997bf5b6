"""Core: errors, time, settings, parameters, files, HTTP; knows no viewer and no service."""
