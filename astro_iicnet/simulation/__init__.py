"""A labelled AllWISE-like sky: who is there (`populations`) and how they look (`render`)."""
