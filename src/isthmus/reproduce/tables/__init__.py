"""One file a table; each has a `TABLE`."""
