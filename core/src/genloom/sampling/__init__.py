"""From a trained model to samples: conditions, chunks and compiled samplers, what comes back, and how it is written."""
