"""The paper's experiments, end to end, on one simulated sample; see `astro_iicnet.experiments.registry`."""
