"""Compare the classified example list with the classes that are known."""

import sys

import numpy as np
from astropy.table import Table

table = Table.read(sys.argv[1])
status = np.asarray(table["iicnet_status"]).astype(str)
ok = status == "ok"
right = np.asarray(table["iicnet_class"][ok]).astype(str) == np.asarray(table["true_class"][ok]).astype(str)
print(f"{len(table)} rows, {ok.sum()} ok, {right.sum()} right; others: {', '.join(sorted(set(status[~ok])))}")
if ok.sum() < 50 or right.mean() < 0.75 or set(status[~ok]) != {"no_coverage"}:
    sys.exit("This is not what the example list should give.")
