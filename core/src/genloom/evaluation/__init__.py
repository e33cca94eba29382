"""How good a model is: a run measured against held-out data, and runs compared."""
