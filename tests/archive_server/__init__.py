"""A local stand-in for the archives that serve AllWISE images: IRSA, its copy on AWS, and hips2fits."""

from .faults import TRANSIENT, Fault, Plan, either, first_faults, permanent_faults, random_faults
from .handler import Request
from .server import ArchiveServer

__all__ = [
    "TRANSIENT",
    "ArchiveServer",
    "Fault",
    "Plan",
    "Request",
    "either",
    "first_faults",
    "permanent_faults",
    "random_faults",
]
