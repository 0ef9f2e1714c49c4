"""Training: labelled datasets, augmentation, the loop, calibration.

Import from the modules; nothing here loads torch until `~astro_iicnet.training.loop` is imported.
"""
