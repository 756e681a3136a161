"""``python -m crdtstore.cli``: the same as the console script."""

import sys

from crdtstore.cli.main import main

sys.exit(main())
