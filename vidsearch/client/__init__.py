"""An index behind a service: what is asked of it (calls), how it travels (http), and the two faces of it, plain and with coroutines."""
