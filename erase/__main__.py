"""`python -m erase`, for one more release: the product is `expunge` now."""

import runpy
import sys

print(
    "`python -m erase` is `python -m expunge` now; the old name goes in the next release",
    file=sys.stderr,
)
runpy.run_module("expunge", run_name="__main__", alter_sys=True)
