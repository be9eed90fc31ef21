"""Everything that is Binance's own."""
