"""What is run by hand, each as `python -m tools.NAME`."""

import signal
import sys

if sys.argv[0] == "-m":  # it is starting: until it listens, Ctrl-C ends it without a traceback
    signal.signal(signal.SIGINT, signal.SIG_DFL)
