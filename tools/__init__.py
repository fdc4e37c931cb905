"""Programs for maintaining the repository; they are not installed with the package."""
