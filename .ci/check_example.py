"""Compare the classified example list with the list and the classes that are known."""

import sys

import numpy as np
from astropy.table import Table

from astro_iicnet.weights import get_record

given, table = (Table.read(path) for path in sys.argv[1:])
(stated,) = (m["accuracy"] for m in get_record()["metrics"].values() if "accuracy" in m)
status = np.asarray(table["iicnet_status"]).astype(str)
ok = status == "ok"
right = np.asarray(table["iicnet_class"][ok]).astype(str) == np.asarray(table["true_class"][ok]).astype(str)
print(f"{len(table)} rows, {ok.sum()} ok, {right.sum()} right; others: {', '.join(sorted(set(status[~ok])))}")
same_rows = list(table["id"].astype(str)) == list(given["id"].astype(str))
two_errors = 2 * np.sqrt(stated * (1 - stated) / 60)
if (
    not same_rows
    or ok.sum() != 60
    or set(status[~ok]) != {"no_coverage"}
    or right.mean() < stated - two_errors
):
    sys.exit(f"This is not what the example list should give: accuracy {stated} in 60 rows.")
