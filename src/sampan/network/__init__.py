"""Networks: bridges, endpoints, addresses, firewall, names, published ports. Synchronous: to be called in threads."""
