"""Which files to classify: folders, lists, tables, URLs."""
