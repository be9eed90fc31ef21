"""Commands and everything else with side effects: folders, reports, training and trading runs."""
