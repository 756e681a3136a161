"""Systems that collect customer events, put to the load of the benchmark ``events``."""
