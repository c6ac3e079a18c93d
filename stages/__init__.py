"""The stages of dvc.yaml, each as `python -m stages.NAME`."""

import signal
import sys

if sys.argv[0] == "-m":  # it is starting: until it listens, Ctrl-C ends it without a traceback
    signal.signal(signal.SIGINT, signal.SIG_DFL)
