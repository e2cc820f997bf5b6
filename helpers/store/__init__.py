"""The store of an account, and the engine that runs the .sql files over it."""
