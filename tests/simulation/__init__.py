"""Deterministic simulation: the real steps, worker and planner over ports in memory, under a seed's weather.

`make simulate SEEDS=1000` runs it; `python -m tests.simulation --seed 17` runs one seed again, exactly.
"""
