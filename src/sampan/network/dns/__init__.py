"""Names for containers: a resolver at 127.0.0.11 of each sandbox that is on a user-defined network."""
