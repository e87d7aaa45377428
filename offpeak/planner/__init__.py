"""Pure functions over the core that decide: how to cut, whom to serve next."""
