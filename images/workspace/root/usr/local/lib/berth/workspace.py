"""`berth-workspace` and `berth-apply`: see berth_workspace/main.py."""

import sys

# -I leaves this script's own folder out.
sys.path.insert(0, "/usr/local/lib/berth")

from berth_workspace.main import main  # noqa: E402

sys.exit(main(sys.argv))
