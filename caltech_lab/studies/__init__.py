"""Studies: one module or folder per advanced notebook."""
