"""What outgrows one machine: Ray, Parquet shards, object stores."""
