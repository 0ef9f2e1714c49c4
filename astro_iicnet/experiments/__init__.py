"""The paper's experiments, end to end, on one sample; see `astro_iicnet.experiments.registry`."""
