"""From an id to a new model, and from a run to its trained one."""
