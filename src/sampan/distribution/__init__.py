"""The client side of registries: pull, push, search, credentials, mirrors."""
