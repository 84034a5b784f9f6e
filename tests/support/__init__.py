"""What the tests share: a daemon of their own, clients, images made here, terminals, and a look at what is left."""
