"""Where the time goes: a training step part by part, and the engines beside one another."""
