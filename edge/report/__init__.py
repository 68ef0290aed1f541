"""What people read of a count: terminal table, tables on disk, annotated frames and one page."""
