"""`offpeak …`: batches over the API, keys over the tables."""
