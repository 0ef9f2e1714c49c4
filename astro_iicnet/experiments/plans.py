"""The networks of the experiments."""

from astro_iicnet.experiments.networks import Plan
from astro_iicnet.experiments.run import BANDS
from astro_iicnet.models import NATIVE_SIZES

IICNET = Plan("iicnet")
"""The reference: W1 to W3, calibrated, 80 px."""

PAPER_RECIPE = Plan("iicnet-paper-recipe", recipe="paper")
"""IICnet on the paper's 8-bit pictures."""

FOUR_BANDS = Plan("iicnet-four-bands", bands=BANDS, rate_of=IICNET)
"""IICnet with W4."""

STUDENT = Plan("student", architecture="student", size=NATIVE_SIZES["student"], teacher=IICNET)
"""The small network for native pixels, taught by IICnet."""

PEERS: dict[str, Plan] = {
    name: Plan(name, architecture=name)
    for name in ("vgg16", "googlenet", "resnet34", "mobilenet_v1", "efficientnet_v2_s", "repvgg")
}
"""The paper's six, in the order of its Table 3."""

CHEAP_FIRST = ("mobilenet_v1", "googlenet", "resnet34", "repvgg", "efficientnet_v2_s", "vgg16")
"""The peers in the order in which they are trained: a run that is broken off has most of them."""
