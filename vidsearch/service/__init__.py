"""An index over HTTP: the routes under /v1, the gate before them, and the batches behind them."""
