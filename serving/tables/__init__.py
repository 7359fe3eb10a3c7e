"""Writers of result tables: CSV, JSONL, Parquet, audformat."""
