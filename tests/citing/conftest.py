import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

for name in ("tests/evidence", "."):
    if str(ROOT / name) not in sys.path:
        sys.path.insert(0, str(ROOT / name))
