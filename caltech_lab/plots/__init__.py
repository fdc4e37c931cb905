"""One function per figure: each takes arrays and an optional `ax`, and returns the `Axes`."""
