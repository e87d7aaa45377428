"""One verb a module, over the ports of the core. A step run twice, or twice at once, does no harm."""
