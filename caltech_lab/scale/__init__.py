"""Datasets larger than one machine: Ray, Parquet shards and object stores."""
