"""How plugins get into an environment and out of it, by pip or uv, and what may be installed together."""
