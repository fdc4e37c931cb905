"""One module or folder for each advanced notebook."""
