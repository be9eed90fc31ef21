"""A simulated month of minutes with real orders on the loopback exchange, under faults, kills and clock jumps.

    python -m tests.soak [--days 30] [--traders 4] [--limit 28] [--kills 6] [--faults 350] [--seed 1]

`schedule` draws faults from the whole catalogue, `trader` is the process that trades, `verify` compares what its
journal says with what the exchange did, and `__main__` runs them.
"""
