"""Being here puts this folder on the import path, so that tests share `support/`."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded: as the commands have it, see indexer.cli.share_cores
