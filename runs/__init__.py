"""Everything with side effects: commands, folders, reports, training and trading runs."""
