"""Whole-file writes, the cache, memory, threads and progress."""
