"""Scores pairs of [reference, degraded] samples at 8 kHz, given as JSON in a file: prints a JSON list of MOS-LQO."""
import json
import sys

import numpy as np
from pesq import NoUtterancesError, pesq


def score(reference, degraded):
    try:
        return float(pesq(8000, np.array(reference, np.int16), np.array(degraded, np.int16), "nb"))
    except NoUtterancesError:  # silence: the worst there is
        return 1.0


with open(sys.argv[1]) as jobs:
    print(json.dumps([score(*pair) for pair in json.load(jobs)]))
