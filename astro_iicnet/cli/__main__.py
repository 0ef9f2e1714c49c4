"""``python -m astro_iicnet.cli``."""

from astro_iicnet.cli import main

main(prog_name="astro-iicnet")
