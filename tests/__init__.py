"""Tests, in folders named like the rooms of the package."""
